"""nasgym: neural architecture search as a reinforcement-learning environment.

Importing it registers the environments with Gymnasium; torch is imported only once a child trains.
"""

from nasgym.archive import Archive, Trial
from nasgym.environments.env import NASEnv
from nasgym.environments.registry import register
from nasgym.environments.vector import NASVectorEnv
from nasgym.evaluation.evaluation import Evaluation
from nasgym.evaluation.evaluator import Evaluator
from nasgym.spaces.base import Decision, SearchSpace

register()

__all__ = [
    "Archive",
    "Decision",
    "Evaluation",
    "Evaluator",
    "NASEnv",
    "NASVectorEnv",
    "SearchSpace",
    "Trial",
]
