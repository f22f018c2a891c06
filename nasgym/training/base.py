"""The base of both trainings: epochs, saved states, and the evaluation."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from nasgym.evaluation.evaluation import Evaluation
from nasgym.training.recipes import Recipe


class Training(ABC):
    """The training of one network. It advances by whole epochs and can be saved between them."""

    def __init__(
        self, network: nn.Module, optimizer: Optimizer, recipe: Recipe, samples: int
    ) -> None:
        """Prepare to train; `samples` is the number of images or tokens in one epoch."""
        self.network, self.optimizer, self.recipe = network, optimizer, recipe
        self.samples = samples
        self.curve: list[dict[str, float]] = []
        """One point per epoch: its number "epoch", its mean training "loss" in nats and, after a
        judged epoch, the results of the validation."""
        self.diverged = ""
        """Why the training stopped early; empty if it did not."""

    @property
    def finished(self) -> bool:
        """Return whether no epoch is left to train."""
        return len(self.curve) == self.recipe.epochs or bool(self.diverged)

    @abstractmethod
    def advance(self) -> None:
        """Train for one epoch; validate if it is one of the judged epochs."""

    @staticmethod
    @abstractmethod
    def rank(validation: Mapping[str, float]) -> float:
        """Return a number that is higher for a better validation."""

    def run(self) -> Evaluation:
        """Train the remaining epochs and return the evaluation of the best judged epoch.

        Its metrics are the results of that validation; "curve", the whole curve; "samples", the
        number of images or tokens trained on. If the training diverges, it stops at once and
        the status is "nan".
        """
        started = time.monotonic()
        while not self.finished:
            self.advance()
        seconds = time.monotonic() - started
        if self.diverged:
            return Evaluation(status="nan", error=self.diverged, seconds=seconds)
        best = max(self.curve[-self.recipe.judged_epochs :], key=self.rank)
        metrics: dict[str, Any] = {
            name: value for name, value in best.items() if name not in ("epoch", "loss", "accuracy")
        }
        metrics |= {"curve": self.curve, "samples": self.recipe.epochs * self.samples}
        return Evaluation(best["accuracy"], seconds=seconds, metrics=metrics)

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs, as tensors and plain data.

        "network" holds the state of the network alone.
        """
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curve": self.curve,
            "diverged": self.diverged,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a `state`; training continues from there with the same bits."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.curve = list(state["curve"])
        self.diverged = state["diverged"]
