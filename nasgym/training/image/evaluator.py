"""The evaluator that trains image classifiers."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from nasgym.data import load
from nasgym.data.packed import pack
from nasgym.networks import flops, parameters
from nasgym.training.evaluator import Children
from nasgym.training.image.recipe import IMAGE_RECIPES
from nasgym.training.recipes import check_whole_numbers, recipe_named

IMAGE_JOB = "nasgym.training.image.job:job"


class ImageChildren(Children):
    """Children that classify images."""

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
        device: str = "auto",
        workers: int | str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        time_limit: float | None = None,
        memory_limit: float | None = None,
        latency: bool = False,
    ) -> None:
        """Read the images; see `Children` for `device`, `workers` and all after them.

        `data`, `train_size`, `valid_size` and `image_size` are those of `nasgym.data.load`;
        `recipe` is a name in IMAGE_RECIPES and `epochs` replaces its number of epochs. `seed`
        decides the split of the data and, with its architecture, each child's weights and batches.

        Raises ValueError or FileNotFoundError, in one line, for what cannot be.
        """
        check_whole_numbers(0, seed=seed)
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
            IMAGE_JOB,
            chosen,
            {"data": data, "data_options": options},
            images.digest,
            seed=seed,
            device=device,
            workers=workers,
            cpus=cpus,
            gpus=gpus,
            time_limit=time_limit,
            memory_limit=memory_limit,
            latency=latency,
            packed=partial(pack, images),
        )

    def costs(self, architecture: Any) -> Mapping[str, float]:
        """Return "parameters", and "flops" of one forward pass; nothing for what has none."""
        sizes = self.input_shape, self.outputs
        try:
            return {
                "parameters": parameters(architecture, *sizes),
                "flops": flops(architecture, *sizes),
            }
        except (AttributeError, TypeError, ValueError):  # the child will say what is wrong
            return {}

    def _cost(self, architecture: Any) -> float:
        """Return the operations of one forward pass."""
        return float(self.costs(architecture).get("flops", 0.0))
