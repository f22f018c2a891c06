"""Evaluation of architectures: results, evaluators, rewards, constraints, cache."""

from nasgym.evaluation.evaluation import Evaluation, score
from nasgym.evaluation.evaluator import Evaluator
from nasgym.evaluation.rewards import REWARDS, Reward

__all__ = ["REWARDS", "Evaluation", "Evaluator", "Reward", "score"]
