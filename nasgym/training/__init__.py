"""Training: from an architecture and data to an evaluation."""

from typing import Any, Protocol


class Training(Protocol):
    """A training under way, epoch by epoch, that can be set aside and taken up again."""

    curve: list[dict[str, float]]
    """For each epoch its training "loss" and, if it was validated, what the validation brought."""
    diverged: str
    """Why the training was given up; empty if it was not."""

    @property
    def finished(self) -> bool:
        """Return whether there is nothing more to train."""
        ...

    def advance(self) -> None:
        """Train for an epoch."""
        ...

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs to go on, as tensors and plain data.

        "network" is the state of the network alone.
        """
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned: what follows is equal, bit by bit."""
        ...
