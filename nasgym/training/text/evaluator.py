"""The evaluator that trains language models."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from nasgym.data import load_text
from nasgym.data.packed import pack
from nasgym.execution.placement import Placement
from nasgym.networks.language_size import check_target, hidden_for
from nasgym.networks.language_size import parameters as language_parameters
from nasgym.training.evaluator import TrainingEvaluator
from nasgym.training.recipes import check_whole_numbers, recipe_named
from nasgym.training.text.recipe import TEXT_RECIPES

JOB = "nasgym.training.text.job:job"


class TextEvaluator(TrainingEvaluator):
    """Trains language models around recurrent cells and validates them."""

    def __init__(
        self,
        corpus: str = "documentation",
        *,
        unit: str = "words",
        vocabulary_size: int = 10_000,
        recipe: str = "short",
        epochs: int | None = None,
        parameters: int | None = None,
        shared_embeddings: bool | None = None,
        train_size: int | None = None,
        valid_size: int | None = None,
        seed: int = 0,
        latency: bool = False,
        workers: int | str | None = None,
        **placement: Any,
    ) -> None:
        """Read the text; `workers` and `placement` are the arguments of `Placement`.

        `corpus`, `unit`, `vocabulary_size`, `train_size` and `valid_size` are those of
        `nasgym.data.load_text`; `recipe` is a name in TEXT_RECIPES, in which `epochs`,
        `parameters` and `shared_embeddings` replace its own. `seed` decides, with the architecture,
        each child's weights and dropout.

        Raises ValueError or FileNotFoundError, in one line, for wrong options or missing data.
        """
        check_whole_numbers(0, seed=seed, workers=None if isinstance(workers, str) else workers)
        check_whole_numbers(1, train_size=train_size, valid_size=valid_size, parameters=parameters)
        options: dict[str, Any] = {
            "unit": unit,
            "vocabulary_size": vocabulary_size,
            "train_size": train_size,
            "valid_size": valid_size,
        }
        chosen = recipe_named(
            recipe,
            TEXT_RECIPES,
            epochs=epochs,
            parameters=parameters,
            shared_embeddings=shared_embeddings,
        )
        text = load_text(corpus, **options)
        check_target(chosen.parameters, len(text.vocabulary), chosen.shared_embeddings)
        self._recipe, self._vocabulary = chosen, len(text.vocabulary)
        super().__init__(
            JOB,
            chosen,
            {"corpus": corpus, "corpus_options": options},
            text.digest,
            seed=seed,
            epochs=chosen.epochs,
            samples=len(text.train),
            latency=latency,
            placement=Placement(workers, **placement),
            packed=partial(pack, text),
        )

    def costs(self, architecture: Any) -> Mapping[str, float]:
        """Return "parameters"; empty if the model cannot be built."""
        recipe, vocabulary = self._recipe, self._vocabulary
        sizes: dict[str, Any] = {
            "layers": recipe.layers,
            "shared_embeddings": recipe.shared_embeddings,
        }
        try:
            hidden = hidden_for(recipe.parameters, architecture, vocabulary, **sizes)
            return {"parameters": language_parameters(architecture, vocabulary, hidden, **sizes)}
        except (AttributeError, TypeError, ValueError):  # the child's training reports the error
            return {}

    def work(self, architecture: Any) -> float:
        """Return 1: cells of one base take about the same time."""
        return 1.0
