"""Convolutional networks with skip connections: the architecture and its search space."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from nasgym.space import Decision, SearchSpace
from nasgym.spaces.isomorphism import canonical_order


@dataclass(frozen=True)
class ConvLayer:
    """One convolution, batch normalisation and ReLU, and where its input comes from."""

    filter_height: int
    """Rows of the filter."""
    filter_width: int
    """Columns of the filter."""
    filters: int
    """Number of filters: the channels of the layer's output."""
    stride_height: int = 1
    """Rows from one output to the next."""
    stride_width: int = 1
    """Columns from one output to the next."""
    inputs: tuple[int, ...] = ()
    """Numbers of the earlier layers it reads, from 1; none means that it reads the image."""

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Return everything about the layer but where its input comes from."""
        return (
            self.filter_height,
            self.filter_width,
            self.filters,
            self.stride_height,
            self.stride_width,
        )


@dataclass(frozen=True)
class ConvArchitecture:
    """A convolutional network: its layers in order, layer 1 nearest to the image."""

    kind: ClassVar[str] = "conv"

    layers: tuple[ConvLayer, ...]
    """The layers; layer i is `layers[i - 1]`."""

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "ConvArchitecture":
        """Return the architecture whose plain form is `data`."""
        return cls(
            tuple(
                ConvLayer(**{**layer, "inputs": tuple(layer["inputs"])}) for layer in data["layers"]
            )
        )


ORDER = ("filter_height", "filter_width", "stride_height", "stride_width", "skip", "filters")
"""The order of a layer's decisions: the complete bracket of Zoph & Le 2017, figure 4."""


@dataclass(frozen=True)
class ConvSpace(SearchSpace):
    """The convolutional space of Zoph & Le 2017, sections 3.1, 3.3 and 4.1.

    Every string describes exactly `layers` layers. A layer chooses its filter height and width,
    its strides if there is a choice, one bit for each earlier layer (1: that layer is an input;
    at the anchor point, section 3.3) and its number of filters. Without skip connections a layer
    reads the one before it. With the defaults a string of L layers has 3 L + L (L - 1) / 2 tokens.
    """

    layers: int = 6
    """Number of layers of every string."""
    max_layers: int = 20
    """The deepest that `with_layers` may go."""
    filter_heights: tuple[int, ...] = (1, 3, 5, 7)
    """Options for the rows of a filter."""
    filter_widths: tuple[int, ...] = (1, 3, 5, 7)
    """Options for the columns of a filter."""
    filters: tuple[int, ...] = (24, 36, 48, 64)
    """Options for the number of filters."""
    strides: tuple[int, ...] = (1,)
    """Options for the stride, in each direction; a single one is no decision."""
    skip_connections: bool = True
    """Whether the inputs of a layer are chosen too."""
    order: tuple[str, ...] = ORDER
    """The order of a layer's decisions: the names of ORDER in any order."""

    def __post_init__(self) -> None:
        for name in ("filter_heights", "filter_widths", "filters", "strides", "order"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("filter_heights", "filter_widths", "filters", "strides"):
            options = getattr(self, name)
            if not options or any(type(option) is not int or option < 1 for option in options):
                raise ValueError(f"{name} must be whole numbers from 1, not {options}")
            if len(set(options)) < len(options):
                raise ValueError(f"{name} holds an option twice: {options}")
        if type(self.layers) is not int or not 1 <= self.layers <= self.max_layers:
            raise ValueError(
                f"layers must be a whole number from 1 to max_layers ({self.max_layers}), "
                f"not {self.layers}"
            )
        if type(self.skip_connections) is not bool:
            raise ValueError(f"skip_connections is true or false, not {self.skip_connections!r}")
        if sorted(self.order) != sorted(ORDER):
            raise ValueError(f"order must name each of {', '.join(ORDER)} once, not {self.order}")

    def first(self) -> Decision:
        """Return the first decision of layer 1."""
        return self._decision(self._names(1)[0], 1)

    def following(self, decision: Decision, token: int) -> Decision | None:
        """Return the next decision of the layer, or the first of the next layer."""
        layer, source = decision.layer, decision.source
        if source is not None and source + 1 < layer:
            return self._decision("skip", layer, source + 1)
        names = self._names(layer)
        position = names.index(decision.name) + 1
        if position < len(names):
            return self._decision(names[position], layer)
        if layer < self.layers:
            return self._decision(self._names(layer + 1)[0], layer + 1)
        return None

    def decode(self, tokens: Sequence[int]) -> ConvArchitecture:
        """Return the network a string describes."""
        values: list[dict[str, Any]] = [{} for _ in range(self.layers)]
        inputs: list[list[int]] = [
            [] if self.skip_connections or index == 0 else [index] for index in range(self.layers)
        ]
        for decision, token in self.walk(tokens):
            if decision.source is None:
                values[decision.layer - 1][decision.name] = decision.options[token]
            elif token:
                inputs[decision.layer - 1].append(decision.source)
        fixed = {} if len(self.strides) > 1 else dict.fromkeys(ORDER[2:4], self.strides[0])
        return ConvArchitecture(
            tuple(
                ConvLayer(**fixed, **chosen, inputs=tuple(sources))
                for chosen, sources in zip(values, inputs, strict=True)
            )
        )

    def choice(self, architecture: ConvArchitecture, decision: Decision) -> Hashable:
        """Return what `architecture` has at `decision`."""
        if len(architecture.layers) != self.layers:
            raise ValueError(
                f"the architecture has {len(architecture.layers)} layers, the space {self.layers}"
            )
        layer = architecture.layers[decision.layer - 1]
        if decision.source is not None:
            return int(decision.source in layer.inputs)
        value: Hashable = getattr(layer, decision.name)
        return value

    def canonical(self, architecture: ConvArchitecture) -> ConvArchitecture:
        """Return the architecture with its layers numbered in the canonical order.

        Two strings that number the layers of one network differently are one child.
        """
        layers = architecture.layers
        order = canonical_order(
            labels=[layer.shape for layer in layers],
            inputs=[[source - 1 for source in layer.inputs] for layer in layers],
        )
        number = {node + 1: place for place, node in enumerate(order, start=1)}
        return ConvArchitecture(
            tuple(
                replace(layers[node], inputs=tuple(sorted(number[i] for i in layers[node].inputs)))
                for node in order
            )
        )

    def with_layers(self, layers: int) -> "ConvSpace":
        """Return the same space at a depth of `layers`, at most `max_layers`."""
        return replace(self, layers=layers)

    def _names(self, layer: int) -> tuple[str, ...]:
        """Return the decisions of a layer, in order; "skip" stands for its first bit."""
        return tuple(
            name
            for name in self.order
            if not (name.startswith("stride") and len(self.strides) == 1)
            and not (name == "skip" and (layer == 1 or not self.skip_connections))
        )

    def _decision(self, name: str, layer: int, source: int = 1) -> Decision:
        if name == "skip":
            return Decision("skip", (0, 1), layer=layer, source=source)
        options = {
            "filter_height": self.filter_heights,
            "filter_width": self.filter_widths,
            "stride_height": self.strides,
            "stride_width": self.strides,
            "filters": self.filters,
        }[name]
        return Decision(name, options, layer=layer)


PRESETS: Mapping[str, ConvSpace] = {
    "v1": ConvSpace(),
    "v2": ConvSpace(strides=(1, 2, 3)),
    "digits": ConvSpace(
        layers=4,
        max_layers=4,
        filter_heights=(1, 3, 5),
        filter_widths=(1, 3, 5),
        filters=(8, 16, 24, 32),
    ),
}
"""Spaces by name: the paper's without and with strides to predict, and one for 8x8 digits."""
