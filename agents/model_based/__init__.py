"""Search guided by a surrogate model of the reward."""

from nasgym.agents.model_based.model_based import ModelBased

__all__ = ["ModelBased"]
