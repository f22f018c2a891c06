"""REINFORCE with the paper's controller, in batches and over a parameter server."""

from nasgym.agents.reinforce.asynchronous import ReinforceAsync
from nasgym.agents.reinforce.reinforce import Reinforce

__all__ = ["Reinforce", "ReinforceAsync"]
