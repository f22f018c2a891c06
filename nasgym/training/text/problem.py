"""The final problem of a recurrent cell: text (Zoph & Le 2017, section 4.2)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from nasgym.data import load_text
from nasgym.data.final import load_test_text
from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution.machine import precision
from nasgym.networks.language import LanguageModel
from nasgym.networks.language_size import Cell
from nasgym.training.problem import Problem, combinations
from nasgym.training.recipes import recipe_named
from nasgym.training.text.loop import LanguageModelling, model_of, prepare, train, validate
from nasgym.training.text.recipe import LANGUAGE_RECIPES, LanguageRecipe

DROPOUTS = ("dropout", "embedding_dropout", "recurrent_dropout")
"""The kinds of dropout; the grid raises all together."""


class TextProblem(Problem):
    """Text to predict; the score is the perplexity."""

    OPTIONS = (
        *("corpus", "unit", "vocabulary_size", "train_size", "valid_size"),
        *("parameters", "shared_embeddings"),
    )
    RECIPES = LANGUAGE_RECIPES
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
        """Read the text that `options` of `nasgym.data.load_text` name and prepare it.

        "parameters" and "shared_embeddings" replace what the recipe has.
        """
        sizes = {name: options.get(name) for name in ("parameters", "shared_embeddings")}
        self.recipe = recipe_named(recipe, LANGUAGE_RECIPES, epochs=epochs, **sizes)
        self._options = _without(options, *sizes)
        self._architecture, self._seed = architecture, seed
        self._device = torch.device(device)
        data = load_text(**self._options)
        self.digest = data.digest
        dtype = getattr(torch, precision(device))
        self._texts = prepare(data, self.recipe, dtype).to(self._device)

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield combinations of learning rate, initial weights, dropout and epoch of decay."""
        recipe = self.recipe
        axes = [
            [{"learning_rate": recipe.learning_rate * factor} for factor in (1, 1 / 2)],
            [{"init": recipe.init * factor} for factor in (1, 2)],
            [_with_dropout(recipe, more) for more in (0, 1 / 5)],
        ]
        if recipe.schedule == "decay":
            axes.append([{"decay_from": recipe.decay_from * factor} for factor in (1, 2)])
        return combinations(axes)

    def shortened(self, recipe: LanguageRecipe, epochs: int) -> LanguageRecipe:
        """Return the recipe with fewer epochs, its decay as much earlier and faster."""
        share = epochs / recipe.epochs
        return replace(
            recipe,
            epochs=epochs,
            judged_epochs=min(recipe.judged_epochs, epochs),
            decay_from=max(1, round(recipe.decay_from * share)),
            decay=recipe.decay ** (1 / share),
        )

    def evaluate(self, recipe: LanguageRecipe) -> Evaluation:
        """Train with `recipe` and validate."""
        return train(self.network(recipe), self._texts, recipe, self._seed)

    def rank(self, evaluation: Evaluation) -> float:
        """Return minus the negative log likelihood: the lowest perplexity is the best."""
        return -float(evaluation.metrics["nll"])

    def training(self, recipe: LanguageRecipe) -> LanguageModelling:
        """Return a training with `recipe` that has not begun."""
        return LanguageModelling(self.network(recipe), self._texts, recipe, self._seed)

    def test(self, recipe: LanguageRecipe, weights: Mapping[str, Any]) -> dict[str, float]:
        """Return how well the whole test text is predicted, its state carried from end to end."""
        tokens = load_test_text(**_without(self._options, "train_size", "valid_size"))
        model = self.network(recipe)
        model.load_state_dict(weights)
        tested = replace(self._texts, valid=torch.from_numpy(tokens).long().to(self._device))
        return {**validate(model, tested, pieces=1), "tokens": len(tokens)}

    def network(self, recipe: LanguageRecipe) -> LanguageModel:
        """Return the language model with its initial weights."""
        model = model_of(self._architecture, self._texts, recipe, self._seed)
        return model.to(self._device)


def _with_dropout(recipe: LanguageRecipe, more: float) -> dict[str, float]:
    """Return the dropout of `recipe`, that much of what is not left out yet left out too."""
    rates = {name: getattr(recipe, name) for name in DROPOUTS}
    return {name: rate + more * (1 - rate) for name, rate in rates.items()}


def _without(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}
