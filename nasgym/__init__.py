"""nasgym: neural architecture search as a reinforcement-learning environment.

Importing it registers the environments with Gymnasium; torch is imported only once a child trains.
"""

from nasgym.archive import Archive, Trial
from nasgym.env import NASEnv
from nasgym.evaluation import Evaluation, Evaluator
from nasgym.registry import register
from nasgym.space import Decision, SearchSpace
from nasgym.vector import NASVectorEnv

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
