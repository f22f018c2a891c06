"""Dense blocks and pooling at fixed places: networks deeper than the strings that describe them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import inf

from nasgym.spaces.layers import ConvLayer, IdentityLayer, Layer, MaxPoolLayer

IMAGE = 0


@dataclass(frozen=True)
class Blocks:
    """How the rows that a string describes become the layers of a network.

    The third space of Zoph & Le 2017, section 4.1: each row is a block of three layers, connected
    densely, and there are two pooling layers. The paper leaves most of it open. Here all layers of
    a block share the row's filters, and each reads what the block reads and the layers before it
    in the block. Pooling halves all that comes later: whatever is read from before it, by a layer
    or by the classifier, is read through a pooling layer, one for each row.

    To read a row is to read all layers of its block. With 13 rows, the median of random strings
    then has 2.2 million parameters and one in twenty 4.7 or more; with 40 filters more, 22 and 35
    (the paper's networks: 7.1 and 37.4). If only the last layer of a block were read, it would be
    1.0 and 1.9, or 8.9 and 13.6, and not one of 1,000 strings came near the paper's.
    """

    layers: int
    """Convolutions for each row."""
    pools_after: tuple[int, ...]
    """Numbers of the convolutions, from 1, that pooling comes right after."""
    pooling: tuple[int, int]
    """Size and stride of that pooling."""
    extra_filters: int
    """Filters that every convolution has beyond those of its row."""

    def __post_init__(self) -> None:
        numbers = (self.layers, *self.pools_after, *self.pooling, self.extra_filters + 1)
        if len(self.pooling) != 2 or any(type(each) is not int or each < 1 for each in numbers):
            raise ValueError(
                f"block_layers, pools_after and pooling (a size and a stride) must be whole "
                f"numbers from 1 and extra_filters from 0, not {self.layers}, {self.pools_after}, "
                f"{self.pooling} and {self.extra_filters}"
            )

    @property
    def are_rows(self) -> bool:
        """Return whether the layers are the rows as they stand."""
        return self.layers == 1 and not self.pools_after and not self.extra_filters

    def expand(self, rows: Sequence[ConvLayer]) -> tuple[Layer, ...]:
        """Return the layers of the network: convolutions, and what hands their inputs on.

        Where blocks read the image an identity layer stands for it, because beside other inputs
        the image cannot be one (section 3.3).
        """
        sources = list(self._sources(rows))
        last_reader = {source: number for number, read in enumerate(sources, 1) for source in read}
        layers: list[Layer] = []
        places = {IMAGE: IMAGE}  # where to read the image and each convolution from now on

        def inputs(read: Iterable[int]) -> tuple[int, ...]:
            return tuple(sorted({places[source] for source in read} - {IMAGE}))

        if self.layers > 1:
            layers.append(IdentityLayer())
            places[IMAGE] = len(layers)
        for number, read in enumerate(sources, start=1):
            row = rows[self._row(number) - 1]
            filters = row.filters + self.extra_filters
            layers.append(replace(row, filters=filters, inputs=inputs(read)))
            places[number] = len(layers)
            if number in self.pools_after:
                needed = [each for each in places if last_reader.get(each, inf) > number]
                for _, group in groupby(needed, self._row):
                    pooled = tuple(group)  # who reads one of them later reads all
                    layers.append(MaxPoolLayer(*self.pooling, inputs=inputs(pooled)))
                    places |= dict.fromkeys(pooled, len(layers))
        return tuple(layers)

    def collapse(self, layers: tuple[Layer, ...]) -> tuple[ConvLayer, ...]:
        """Return the rows that `expand` into `layers`; raise ValueError if none do."""
        convolutions: list[ConvLayer] = []
        origin = {IMAGE: IMAGE}  # the row, or the image, that each layer comes from
        for number, layer in enumerate(layers, start=1):
            if isinstance(layer, ConvLayer):
                convolutions.append(layer)
                origin[number] = self._row(len(convolutions))
            else:
                origin[number] = origin.get(min(layer.inputs, default=IMAGE), IMAGE)
        rows = []
        for number, first in enumerate(convolutions[:: self.layers], start=1):
            read = {origin.get(source, IMAGE) for source in first.inputs}
            inputs = tuple(sorted(row for row in read if IMAGE < row < number))
            rows.append(replace(first, filters=first.filters - self.extra_filters, inputs=inputs))
        if self.expand(rows) != layers:
            raise ValueError(f"the architecture does not consist of blocks as in the space: {self}")
        return tuple(rows)

    def _sources(self, rows: Sequence[ConvLayer]) -> Iterator[tuple[int, ...]]:
        """Yield the numbers of the convolutions that each convolution reads, 0 for the image."""
        for number, row in enumerate(rows, start=1):
            block = self._numbers(number)
            read = [source for each in row.inputs for source in self._numbers(each)] or [IMAGE]
            for convolution in block:
                yield (*read, *range(block[0], convolution))

    def _row(self, convolution: int) -> int:
        """Return the number of the row that a convolution belongs to, 0 for the image."""
        return (convolution - 1) // self.layers + 1

    def _numbers(self, row: int) -> range:
        """Return the numbers of the convolutions of a row."""
        return range((row - 1) * self.layers + 1, row * self.layers + 1)
