"""The number of parameters of a language model, and the hidden size for a given number."""

from bisect import bisect_left

from nasgym.errors import InvalidInput
from nasgym.spaces.recurrent import LSTMArchitecture, RecurrentArchitecture

Cell = RecurrentArchitecture | LSTMArchitecture

HIDDEN_STEP = 4
"""`hidden_for` returns multiples of this, which vector instructions process at once."""


def parameters(
    architecture: Cell,
    vocabulary: int,
    hidden: int,
    *,
    layers: int = 2,
    shared_embeddings: bool = False,
) -> int:
    """Return the number of trainable parameters of a LanguageModel of these sizes."""
    if isinstance(architecture, LSTMArchitecture):
        cell = 4 * hidden * (2 * hidden + 2)
    else:
        cell = architecture.base * hidden * 2 * hidden
    words = vocabulary * hidden
    return layers * cell + (1 if shared_embeddings else 2) * words + vocabulary


def hidden_for(
    target: int,
    architecture: Cell,
    vocabulary: int,
    *,
    layers: int = 2,
    shared_embeddings: bool = False,
) -> int:
    """Return the multiple of HIDDEN_STEP that gives a LanguageModel about `target` parameters."""

    def count(step: int) -> int:
        return parameters(
            architecture,
            vocabulary,
            step * HIDDEN_STEP,
            layers=layers,
            shared_embeddings=shared_embeddings,
        )

    above = bisect_left(range(1, target), target, key=count) + 1
    steps = min((max(1, above - 1), above), key=lambda step: abs(count(step) - target))
    return steps * HIDDEN_STEP


def check_target(target: int, vocabulary: int, shared_embeddings: bool) -> None:
    """Raise ValueError, in one line, if the words alone need more than twice `target` parameters.

    No hidden size comes near the target then.
    """
    least = (1 if shared_embeddings else 2) * vocabulary * HIDDEN_STEP
    if least > 2 * target:
        raise InvalidInput(
            f"the {vocabulary:,} words of the text alone need {least:,} parameters or more: "
            f"{target:,} in all cannot be met"
        )
