"""Text batches: a text cut into columns that are read side by side, a few tokens per step.

The model reads each column from its beginning to its end. Its state carries over from step to step.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nasgym.data import TextData
from nasgym.errors import InvalidInput
from nasgym.training.text.recipe import TextRecipe

IGNORED = -100
"""Target that the loss leaves out (PyTorch's ignore_index)."""

WARM_UP_STEPS = 2
"""Steps that a column of validation text begins before its first target. The state at that target
is then close to the one that a single pass over the whole text would carry there."""

UNSEEN_COUNT = 0.5
"""Count added to every token, so that no frequency is 0."""


@dataclass(frozen=True, eq=False)
class TextBatches:
    """A text prepared for a recipe, on one device."""

    train: Tensor
    """(time, batch size): the columns of the training text."""
    valid: Tensor
    """(m,)"""
    frequencies: Tensor
    """(vocabulary,): the share of each token in the training text, above 0, in main memory."""
    unroll: int
    """Tokens per column and step."""
    precision: torch.dtype
    """Type in which the network multiplies matrices."""

    @property
    def vocabulary(self) -> int:
        """Return the number of different tokens."""
        return len(self.frequencies)

    @property
    def steps(self) -> int:
        """Return the number of steps in an epoch."""
        return (len(self.train) - 1) // self.unroll

    @property
    def samples(self) -> int:
        """Return the number of tokens in an epoch."""
        return self.steps * self.unroll * self.train.shape[1]

    @property
    def device(self) -> torch.device:
        """Return the device of the text."""
        return self.train.device

    def to(self, device: torch.device) -> "TextBatches":
        """Return the same batches on `device`."""
        return replace(self, train=self.train.to(device), valid=self.valid.to(device))

    def first(self, steps: int) -> "TextBatches":
        """Return the batches of the first `steps` steps of an epoch, with 2 validation tokens."""
        rows = min(steps, self.steps) * self.unroll + 1
        return replace(self, train=self.train[:rows], valid=self.valid[:2])

    def training(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (tokens, the tokens that follow them) of each step, (unroll, batch size) both.

        An epoch drops the tokens left over after the last whole step.
        """
        for start in range(0, self.steps * self.unroll, self.unroll):
            end = start + self.unroll
            yield self.train[start:end], self.train[start + 1 : end + 1]

    def validation(self, columns: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (tokens, targets) of each step over the validation text, (unroll, columns) both.

        The last step may be shorter. Every token but the first is a target once; all other targets
        are IGNORED. Each column begins WARM_UP_STEPS before its first target, or at the beginning
        of the text; a single column is the whole text.
        """
        targets_in_all = len(self.valid) - 1
        length = -(-targets_in_all // columns)
        warm_up = WARM_UP_STEPS * self.unroll if columns > 1 else 0
        first = length * torch.arange(columns)
        begin = (first - warm_up).clamp(min=0)
        places = begin + torch.arange(length + warm_up)[:, None]
        judged = (places >= first) & (places < (first + length).clamp(max=targets_in_all))
        places = places.clamp(max=targets_in_all - 1).to(self.device)
        targets = torch.where(judged.to(self.device), self.valid[places + 1], IGNORED)
        tokens = self.valid[places]
        yield from zip(
            torch.split(tokens, self.unroll), torch.split(targets, self.unroll), strict=True
        )


def prepare(data: TextData, recipe: TextRecipe, dtype: torch.dtype) -> TextBatches:
    """Return `data` prepared for `recipe` in main memory; `dtype` is the precision.

    Raises ValueError, in one line, if the training text is too short for one step.
    """
    train = torch.from_numpy(data.train).long()
    rows = len(train) // recipe.batch_size
    if rows <= recipe.unroll:
        raise InvalidInput(
            f"a training text of {len(train):,} tokens is too short: one step reads "
            f"{recipe.batch_size} columns of {recipe.unroll + 1} tokens"
        )
    columns = train[: rows * recipe.batch_size].view(recipe.batch_size, rows)
    counts = torch.bincount(train, minlength=len(data.vocabulary)) + UNSEEN_COUNT
    valid = torch.from_numpy(data.valid).long()
    return TextBatches(columns.t().contiguous(), valid, counts / counts.sum(), recipe.unroll, dtype)
