"""Recipes for text: how a language model is trained while its cell is searched, as plain data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from nasgym.training.image.recipe import rise_and_fall


@dataclass(frozen=True)
class LanguageRecipe:
    """All of a language model's training that is the same for every cell."""

    name: str
    """What it is called."""
    epochs: int
    """Passes over the training text."""
    layers: int = 2
    """Layers of the cell, one on the other."""
    parameters: int = 20_000_000
    """Trainable parameters to aim at: the hidden size is chosen to come near."""
    shared_embeddings: bool = False
    """Whether the softmax uses the weights of the embedding (Press & Wolf 2016)."""
    batch_size: int = 20
    """Places in the text that are read at the same time."""
    unroll: int = 35
    """Tokens that the gradient goes back through; the state is carried on from one stretch of so
    many to the next."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """What takes the steps."""
    learning_rate: float = 1.0
    """The highest of the training."""
    schedule: Literal["linear", "decay"] = "decay"
    """"linear": rises over the first tenth of the steps, then falls to 0; "decay": multiplied by
    `decay` in every epoch after `decay_from`."""
    decay: float = 0.8
    """What the learning rate is multiplied by."""
    decay_from: int = 6
    """The last epoch at the full rate."""
    clip: float = 5.0
    """The longest that the gradient of all weights together may be."""
    dropout: float = 0.0
    """Share of the inputs of every layer, and of the outputs, that is left out."""
    embedding_dropout: float = 0.0
    """Share of the words whose embedding is left out."""
    recurrent_dropout: float = 0.0
    """Share of the recurrent connections that is left out."""
    init: float = 0.05
    """Weights are drawn uniformly from [-init, init]."""
    embedding_init: float | None = None
    """The same for the embedding, unless it is shared; None: as all others."""
    frequency_bias: bool = False
    """Whether the biases of the softmax begin as the logarithms of the tokens' frequencies. A
    short training need not learn these then: 50,000 words of the Penn Treebank taught an LSTM of
    1,000,000 parameters a perplexity of 732 with it and of 961 without."""
    judged_epochs: int = 1
    """The child is validated after each of so many last epochs; the best of them counts."""

    def __post_init__(self) -> None:
        wholes = ("epochs", "layers", "parameters", "batch_size", "unroll", "judged_epochs")
        for name in wholes:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number from 1, not {getattr(self, name)}")
        if type(self.shared_embeddings) is not bool:
            raise ValueError(f"shared_embeddings is true or false, not {self.shared_embeddings!r}")

    def rates(self, steps: int) -> Iterator[float]:
        """Yield the learning rate of each step of a training with `steps` steps an epoch."""
        total = steps * self.epochs
        for step in range(total):
            if self.schedule == "linear":
                share = rise_and_fall(step, total)
            else:
                share = self.decay ** max(0, step // steps + 1 - self.decay_from)
            yield self.learning_rate * share


LANGUAGE_RECIPES: Mapping[str, LanguageRecipe] = {
    recipe.name: recipe
    for recipe in (
        LanguageRecipe(
            "short",
            epochs=1,
            layers=1,
            parameters=1_000_000,
            batch_size=8,
            unroll=20,
            optimizer="adam",
            learning_rate=0.01,
            schedule="linear",
            clip=1.0,
            init=0.3,
            embedding_init=1.0,
            frequency_bias=True,
        ),
        LanguageRecipe(
            "paper",
            epochs=35,
            dropout=0.5,
            embedding_dropout=0.2,
            recurrent_dropout=0.2,
        ),
    )
}
"""Recipes by name: "short" for children of seconds; "paper" is the paper's or, where that says
nothing, Zaremba et al. 2014.

"short" is to tell cells apart. On 100,000 words of the Penn Treebank with a vocabulary of 2,000 and
300,000 parameters, seven random cells came to perplexities from 108 to 169, which is that of the
frequencies alone, and an LSTM to 87. With two layers and all weights from [-0.15, 0.15] the same
seven lay between 168 and 175: what goes into most cells is then so small, or so often
multiplied, that nothing is learned in so short a time.
"""
