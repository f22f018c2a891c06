"""The ceiling: the depth of architectures, which may grow during a search."""

from functools import cache

from nasgym.errors import InvalidInput
from nasgym.spaces.base import SearchSpace


class Ceiling:
    """The space that a search samples from, at a depth that grows with the number of trials.

    The depth is min(layers + grow_by * (trials // grow_every), max_layers), with `layers` and
    `max_layers` of the space (Zoph & Le 2017, section 4.1).
    """

    def __init__(self, space: SearchSpace, grow_by: int = 0, grow_every: int = 1600) -> None:
        """Start at the depth of `space`; `grow_by` 0 keeps that depth.

        Raises ValueError if the numbers make no sense or the space cannot grow.
        """
        if grow_by < 0 or grow_every < 1:
            raise InvalidInput(
                f"grow_by must be 0 or more and grow_every 1 or more, "
                f"not {grow_by} and {grow_every}"
            )
        self.space = space
        self.grow_by = grow_by
        self.grow_every = grow_every
        self._with_layers = cache(space.with_layers)
        if grow_by:
            if space.layers is None or space.max_layers is None:
                raise InvalidInput(f"{type(space).__name__} has one depth: grow_by must be 0")
            self._with_layers(space.layers)  # raises ValueError if the space has one depth

    def after(self, trials: int) -> SearchSpace:
        """Return the space after that number of trials."""
        space = self.space
        if not self.grow_by or space.layers is None or space.max_layers is None:
            return space
        grown = space.layers + self.grow_by * (trials // self.grow_every)
        return self._with_layers(min(grown, space.max_layers))

    def at(self, layers: int) -> SearchSpace:
        """Return the space at a depth of `layers`; raise ValueError if there is none."""
        return self._with_layers(layers)
