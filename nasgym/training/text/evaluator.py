"""The evaluator that trains language models."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from nasgym.data import load_text
from nasgym.data.packed import pack
from nasgym.networks.language_size import check_target, hidden_for
from nasgym.networks.language_size import parameters as language_parameters
from nasgym.training.evaluator import Children
from nasgym.training.recipes import check_whole_numbers, recipe_named
from nasgym.training.text.recipe import TEXT_RECIPES

TEXT_JOB = "nasgym.training.text.job:job"


class TextChildren(Children):
    """Children that are language models."""

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
        device: str = "auto",
        workers: int | str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        time_limit: float | None = None,
        memory_limit: float | None = None,
        latency: bool = False,
    ) -> None:
        """Read the text; see `Children` for `device`, `workers` and all after them.

        `corpus`, `unit`, `vocabulary_size`, `train_size` and `valid_size` are those of
        `nasgym.data.load_text`; `recipe` is a name in TEXT_RECIPES, in which `epochs`,
        `parameters` and `shared_embeddings` replace what it has. `seed` decides, with its
        architecture, each child's weights and dropout.

        Raises ValueError or FileNotFoundError, in one line, for what cannot be.
        """
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
            TEXT_JOB,
            chosen,
            {"corpus": corpus, "corpus_options": options},
            text.digest,
            seed=seed,
            device=device,
            workers=workers,
            cpus=cpus,
            gpus=gpus,
            time_limit=time_limit,
            memory_limit=memory_limit,
            latency=latency,
            packed=partial(pack, text),
        )

    def costs(self, architecture: Any) -> Mapping[str, float]:
        """Return "parameters", or nothing for what has none."""
        recipe, vocabulary = self._recipe, self._vocabulary
        sizes: dict[str, Any] = {
            "layers": recipe.layers,
            "shared_embeddings": recipe.shared_embeddings,
        }
        try:
            hidden = hidden_for(recipe.parameters, architecture, vocabulary, **sizes)
            return {"parameters": language_parameters(architecture, vocabulary, hidden, **sizes)}
        except (AttributeError, TypeError, ValueError):  # the child will say what is wrong
            return {}

    def _cost(self, architecture: Any) -> float:
        """Return the same for all: cells of one base cost nearly the same."""
        return 0.0
