"""The LSTM controller (Zoph & Le 2017, sections 3.1 and 3.3) and its fast sampler."""

from nasgym.agents.controller.controller import Controller

__all__ = ["Controller"]
