"""Dense blocks and pooling at fixed positions: a short string describes a deep network."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import inf

from nasgym.errors import InvalidInput
from nasgym.spaces.layers import ConvLayer, IdentityLayer, Layer, MaxPoolLayer

IMAGE = 0
"""Number of the image among rows and convolutions, which are numbered from 1."""


@dataclass(frozen=True)
class Blocks:
    """The rules that expand the rows of a string into the layers of a network.

    The third space of Zoph & Le 2017, section 4.1: each row is a block of three densely connected
    layers, and there are two pooling layers. The paper leaves most details open. Here, all layers
    of a block have the row's filters, and each reads the inputs of the block and the earlier layers
    of the block. Pooling shrinks everything before it: later layers and the classifier read each
    earlier row through a pooling layer of its own.

    To read a row is to read all layers of its block. Random strings of 13 rows then have a median
    of 2.2 million parameters, and 5 % have 4.7 million or more; with 40 extra filters, 22 and 35
    million (the paper's networks: 7.1 and 37.4). If a row were only the last layer of its block,
    the numbers would be 1.0 and 1.9, or 8.9 and 13.6, and none of 1,000 random strings would come
    near the paper's.
    """

    layers: int
    """Convolutions per row."""
    pools_after: tuple[int, ...]
    """Numbers of the convolutions, from 1, that are followed by pooling."""
    pooling: tuple[int, int]
    """Window size and stride of that pooling."""
    extra_filters: int
    """Filters that every convolution has in addition to those of its row."""

    def __post_init__(self) -> None:
        numbers = (self.layers, *self.pools_after, *self.pooling, self.extra_filters + 1)
        if len(self.pooling) != 2 or any(type(each) is not int or each < 1 for each in numbers):
            raise InvalidInput(
                f"block_layers, pools_after and pooling (a size and a stride) must be whole "
                f"numbers from 1 and extra_filters from 0, not {self.layers}, {self.pools_after}, "
                f"{self.pooling} and {self.extra_filters}"
            )

    @property
    def are_rows(self) -> bool:
        """Return whether the layers of a network equal its rows."""
        return self.layers == 1 and not self.pools_after and not self.extra_filters

    def expand(self, rows: Sequence[ConvLayer]) -> tuple[Layer, ...]:
        """Return the layers of the network: convolutions, pooling and perhaps an identity.

        Blocks read the image through an identity layer, because the image cannot be one of several
        inputs (section 3.3).
        """
        sources = list(self._sources(rows))
        last_reader = {source: number for number, each in enumerate(sources, 1) for source in each}
        layers: list[Layer] = []
        layer_of = {IMAGE: IMAGE}  # the layer that now provides the image and each convolution

        def inputs(numbers: Iterable[int]) -> tuple[int, ...]:
            return tuple(sorted({layer_of[number] for number in numbers} - {IMAGE}))

        if self.layers > 1:
            layers.append(IdentityLayer())
            layer_of[IMAGE] = len(layers)
        for number, needed in enumerate(sources, start=1):
            row = rows[self._row(number) - 1]
            filters = row.filters + self.extra_filters
            layers.append(replace(row, filters=filters, inputs=inputs(needed)))
            layer_of[number] = len(layers)
            if number in self.pools_after:
                still_read = [each for each in layer_of if last_reader.get(each, inf) > number]
                for _, group in groupby(still_read, self._row):
                    pooled = tuple(group)  # later layers read all of a row or none of it
                    layers.append(MaxPoolLayer(*self.pooling, inputs=inputs(pooled)))
                    layer_of |= dict.fromkeys(pooled, len(layers))
        return tuple(layers)

    def collapse(self, layers: tuple[Layer, ...]) -> tuple[ConvLayer, ...]:
        """Return the rows that `expand` turns into `layers`; raise ValueError if there are none."""
        convolutions: list[ConvLayer] = []
        origin = {IMAGE: IMAGE}  # the row, or the image, of each layer
        for number, layer in enumerate(layers, start=1):
            if isinstance(layer, ConvLayer):
                convolutions.append(layer)
                origin[number] = self._row(len(convolutions))
            else:
                origin[number] = origin.get(min(layer.inputs, default=IMAGE), IMAGE)
        rows = []
        for number, first in enumerate(convolutions[:: self.layers], start=1):
            sources = {origin.get(source, IMAGE) for source in first.inputs}
            inputs = tuple(sorted(row for row in sources if IMAGE < row < number))
            rows.append(replace(first, filters=first.filters - self.extra_filters, inputs=inputs))
        if self.expand(rows) != layers:
            raise InvalidInput(
                f"the architecture does not consist of the blocks of the space: {self}"
            )
        return tuple(rows)

    def _sources(self, rows: Sequence[ConvLayer]) -> Iterator[tuple[int, ...]]:
        """Yield the numbers of the convolutions that each convolution reads; 0 is the image."""
        for number, row in enumerate(rows, start=1):
            block = self._numbers(number)
            shared = [source for each in row.inputs for source in self._numbers(each)] or [IMAGE]
            for convolution in block:
                yield (*shared, *range(block[0], convolution))

    def _row(self, convolution: int) -> int:
        """Return the number of the row of a convolution; 0 for the image."""
        return (convolution - 1) // self.layers + 1

    def _numbers(self, row: int) -> range:
        """Return the numbers of the convolutions of a row."""
        return range((row - 1) * self.layers + 1, row * self.layers + 1)
