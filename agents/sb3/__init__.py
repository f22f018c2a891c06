"""Stable-Baselines3's algorithms as agents."""

from nasgym.agents.sb3.sb3 import A2C, DQN, PPO, MaskablePPO, RecurrentPPO

__all__ = ["A2C", "DQN", "PPO", "MaskablePPO", "RecurrentPPO"]
