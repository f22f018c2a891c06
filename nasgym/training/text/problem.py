"""The final problem of a recurrent cell: text (Zoph & Le 2017, section 4.2)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from nasgym.data import load_text
from nasgym.data.final import load_test_text
from nasgym.networks.language import LanguageModel
from nasgym.networks.language_size import Cell
from nasgym.options import types_of
from nasgym.training.problem import Problem, combinations
from nasgym.training.recipes import recipe_named
from nasgym.training.text.batches import prepare
from nasgym.training.text.loop import TextTraining, initial_network, validate
from nasgym.training.text.recipe import TEXT_RECIPES, TextRecipe

DROPOUTS = ("dropout", "embedding_dropout", "recurrent_dropout")
"""The dropout rates; the grid raises all of them together."""


class TextProblem(Problem[TextRecipe]):
    """Text to predict; the score is the perplexity."""

    OPTIONS = types_of(load_text) | {"parameters": int | None, "shared_embeddings": bool | None}
    TRAINING = TextTraining
    SCORE = "perplexity"

    def __init__(
        self,
        architecture: Cell,
        options: Mapping[str, Any],
        *,
        recipe: str,
        epochs: int | None,
        seed: int,
        device: str,
    ) -> None:
        """Load and prepare the text; `options` are those of `nasgym.data.load_text`.

        The options "parameters" and "shared_embeddings" replace those fields of the recipe.
        """
        sizes = {name: options.get(name) for name in ("parameters", "shared_embeddings")}
        chosen = recipe_named(recipe, TEXT_RECIPES, epochs=epochs, **sizes)
        super().__init__(architecture, chosen, seed, device)
        self._options = _without(options, *sizes)
        data = load_text(**self._options)
        self.digest = data.digest
        self._batches = prepare(data, self.recipe, self._dtype).to(self._device)

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield combinations of learning rate, initial weights, dropout and start of the decay."""
        recipe = self.recipe
        axes: list[list[dict[str, Any]]] = [
            [{"learning_rate": recipe.learning_rate * factor} for factor in (1, 1 / 2)],
            [{"init": recipe.init * factor} for factor in (1, 2)],
            [_with_dropout(recipe, more) for more in (0, 1 / 5)],
        ]
        if recipe.schedule == "decay":
            axes.append([{"decay_from": recipe.decay_from * factor} for factor in (1, 2)])
        return combinations(axes)

    def shortened(self, recipe: TextRecipe, epochs: int) -> TextRecipe:
        """Return `recipe` with fewer epochs and a decay that starts earlier and is faster."""
        share = epochs / recipe.epochs
        return replace(
            super().shortened(recipe, epochs),
            decay_from=max(1, round(recipe.decay_from * share)),
            decay=recipe.decay ** (1 / share),
        )

    def network(self, recipe: TextRecipe) -> LanguageModel:
        """Return the language model with its initial weights."""
        network = initial_network(self._architecture, self._batches, recipe, self._seed)
        return network.to(self._device)

    def training(self, recipe: TextRecipe) -> TextTraining:
        """Return a training with `recipe` that has not begun."""
        return TextTraining(self.network(recipe), self._batches, recipe, self._seed)

    def test(self, recipe: TextRecipe, weights: Mapping[str, Any]) -> dict[str, float]:
        """Return the results on the whole test text, in one pass that carries the state."""
        tokens = load_test_text(**_without(self._options, "train_size", "valid_size"))
        network = self.network(recipe)
        network.load_state_dict(weights)
        tested = replace(self._batches, valid=torch.from_numpy(tokens).long().to(self._device))
        return {**validate(network, tested, columns=1), "tokens": len(tokens)}


def _with_dropout(recipe: TextRecipe, more: float) -> dict[str, float]:
    """Return the dropout rates of `recipe`, with the share `more` of what they keep dropped too."""
    rates = {name: getattr(recipe, name) for name in DROPOUTS}
    return {name: rate + more * (1 - rate) for name, rate in rates.items()}


def _without(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}
