"""The evaluator that trains image classifiers."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from nasgym.data import load
from nasgym.data.packed import pack
from nasgym.execution.placement import Placement
from nasgym.networks import flops, parameters
from nasgym.training.evaluator import TrainingEvaluator
from nasgym.training.image.recipe import IMAGE_RECIPES
from nasgym.training.recipes import check_whole_numbers, recipe_named

JOB = "nasgym.training.image.job:job"


class ImageEvaluator(TrainingEvaluator):
    """Trains convolutional networks on images and validates them."""

    def __init__(
        self,
        data: str = "digits",
        *,
        recipe: str = "short",
        epochs: int | None = None,
        train_size: int | None = None,
        valid_size: int | None = None,
        image_size: int | None = None,
        seed: int = 0,
        latency: bool = False,
        workers: int | str | None = None,
        **placement: Any,
    ) -> None:
        """Read the images; `workers` and `placement` are the arguments of `Placement`.

        `data`, `train_size`, `valid_size` and `image_size` are those of `nasgym.data.load`;
        `recipe` is a name in IMAGE_RECIPES and `epochs` replaces its number of epochs. `seed`
        decides the split of the data and, with the architecture, each child's weights and batches.

        Raises ValueError or FileNotFoundError, in one line, for wrong options or missing data.
        """
        check_whole_numbers(0, seed=seed, workers=None if isinstance(workers, str) else workers)
        check_whole_numbers(1, train_size=train_size, valid_size=valid_size, image_size=image_size)
        options: dict[str, Any] = {
            "seed": seed,
            "train_size": train_size,
            "valid_size": valid_size,
            "image_size": image_size,
        }
        chosen = recipe_named(recipe, IMAGE_RECIPES, epochs=epochs)
        images = load(data, **options)
        self.input_shape = images.input_shape
        """(channels, height, width) of the images."""
        self.outputs = images.classes
        """Number of classes."""
        super().__init__(
            JOB,
            chosen,
            {"data": data, "data_options": options},
            images.digest,
            seed=seed,
            epochs=chosen.epochs,
            samples=len(images.train_labels),
            latency=latency,
            placement=Placement(workers, **placement),
            packed=partial(pack, images),
        )

    def costs(self, architecture: Any) -> Mapping[str, float]:
        """Return "parameters" and "flops" of one forward pass; empty if it cannot be built."""
        sizes = self.input_shape, self.outputs
        try:
            return {
                "parameters": parameters(architecture, *sizes),
                "flops": flops(architecture, *sizes),
            }
        except (AttributeError, TypeError, ValueError):  # the child's training reports the error
            return {}

    def work(self, architecture: Any) -> float:
        """Return the operations of one forward pass."""
        return float(self.costs(architecture).get("flops", 0.0))
