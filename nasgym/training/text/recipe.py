"""Recipes for text: how a language model is trained while its cell is searched, as plain data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from nasgym.errors import InvalidInput
from nasgym.training.recipes import Recipe, check_whole_numbers, rise_and_fall


@dataclass(frozen=True)
class TextRecipe(Recipe):
    """Training of a language model, and its size; both are the same for every cell."""

    layers: int = 2
    """Number of stacked recurrent layers."""
    parameters: int = 20_000_000
    """Target number of trainable parameters; the hidden size is chosen to come closest to it."""
    shared_embeddings: bool = False
    """Whether the softmax shares the weights of the embedding (Press & Wolf 2016)."""
    batch_size: int = 20
    """Columns that the training text is cut into; a step reads them side by side."""
    unroll: int = 35
    """Tokens per column and step. The gradient goes back through them; the state carries over to
    the next step."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Optimizer, without momentum for "sgd"."""
    learning_rate: float = 1.0
    """Maximum learning rate."""
    schedule: Literal["linear", "decay"] = "decay"
    """"linear": rises over the first tenth of the steps, then falls to 0; "decay": multiplied by
    `decay` in every epoch after `decay_from`."""
    decay: float = 0.8
    """Factor of the learning rate per epoch of decay."""
    decay_from: int = 6
    """The last epoch at the full learning rate."""
    clip: float = 5.0
    """Maximum global gradient norm."""
    dropout: float = 0.0
    """Dropout rate of the inputs of every layer and of the outputs."""
    embedding_dropout: float = 0.0
    """Dropout rate of whole words of the embedding."""
    recurrent_dropout: float = 0.0
    """Dropout rate of the recurrent connections."""
    init: float = 0.05
    """Initial weights are uniform in [-init, init]."""
    embedding_init: float | None = None
    """The same for the embedding, unless it is shared; None: `init`."""
    frequency_bias: bool = False
    """Whether the softmax biases start as the logarithms of the token frequencies, which a short
    training then need not learn. On 50,000 words of the Penn Treebank an LSTM of 1,000,000
    parameters reached a perplexity of 732 with it and of 961 without."""

    def __post_init__(self) -> None:
        super().__post_init__()
        names = ("layers", "parameters", "batch_size", "unroll")
        check_whole_numbers(1, **{name: getattr(self, name) for name in names})
        if type(self.shared_embeddings) is not bool:
            raise InvalidInput(
                f"shared_embeddings is true or false, not {self.shared_embeddings!r}"
            )

    def rates(self, steps: int) -> Iterator[float]:
        """Yield the learning rate of every step of a training with `steps` steps per epoch."""
        total = steps * self.epochs
        for step in range(total):
            if self.schedule == "linear":
                share = rise_and_fall(step, total)
            else:
                share = self.decay ** max(0, step // steps + 1 - self.decay_from)
            yield self.learning_rate * share


TEXT_RECIPES: Mapping[str, TextRecipe] = {
    recipe.name: recipe
    for recipe in (
        TextRecipe(
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
        TextRecipe(
            "paper",
            epochs=35,
            dropout=0.5,
            embedding_dropout=0.2,
            recurrent_dropout=0.2,
        ),
    )
}
"""Recipes by name: "short" takes seconds per child; "paper" follows Zoph & Le 2017, section 4.2,
and Zaremba et al. 2014 where that paper gives no value.

"short" is made to separate good cells from bad ones. On 100,000 words of the Penn Treebank, with a
vocabulary of 2,000 and 300,000 parameters, seven random cells reached perplexities from 108 to 169
(169 is the perplexity of the token frequencies alone) and an LSTM reached 87. With two layers and
all weights in [-0.15, 0.15] the same seven cells reached 168 to 175: most cells then receive
signals too small, or multiply them too often, to learn anything in so short a training.
"""
