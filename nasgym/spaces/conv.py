"""Convolutional networks with skip connections: the architecture and its search space."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from math import inf
from typing import Any, ClassVar

from nasgym.errors import InvalidInput
from nasgym.spaces.base import Decision, SearchSpace
from nasgym.spaces.blocks import Blocks
from nasgym.spaces.canonical_order import canonical_order
from nasgym.spaces.layers import LAYER_TYPES, ConvLayer, Layer, layer_type, read_layers


@dataclass(frozen=True)
class ConvArchitecture:
    """A convolutional network: its layers in order, from the image to the classifier."""

    kind: ClassVar[str] = "conv"

    layers: tuple[Layer, ...]
    """The layers; layer i is `layers[i - 1]`."""
    learning_rate: float | None = None
    """The learning rate for its training; None uses the recipe's."""

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "ConvArchitecture":
        """Return the architecture with the plain form `data`."""
        rate = data.get("learning_rate")
        if rate is not None:
            _check_learning_rates((rate,))
        return cls(read_layers(data["layers"]), rate)


ORDER = ("filter_height", "filter_width", "stride_height", "stride_width", "skip", "filters")
"""Default order of a layer's decisions: the complete bracket of Zoph & Le 2017, figure 4."""


@dataclass(frozen=True)
class ConvSpace(SearchSpace):
    """The convolutional spaces of Zoph & Le 2017, sections 3.1, 3.3 and 4.1.

    Every string describes exactly `layers` layers. Each layer chooses its filter height and width,
    its strides if there are several options, one bit per earlier layer (1: read that layer; the
    anchor point of section 3.3) and its number of filters. Without skip connections, each layer
    reads the layer before it. By default, a string of L layers has 3 L + L (L - 1) / 2 tokens.

    With several layer types, a layer first chooses its type, then the type's hyper-parameters and
    the bits. With learning rates, a string begins with the learning rate (both section 3.3). With
    blocks or pooling at fixed positions, a string describes rows, `layers` counts rows, and
    `Blocks` expands them into layers.
    """

    layers: int = 6
    """Number of layers that each string describes."""
    max_layers: int = 20
    """Maximum number of layers of a space that grows."""
    filter_heights: tuple[int, ...] = ConvLayer.options["filter_height"]
    """Options for the height of a filter."""
    filter_widths: tuple[int, ...] = ConvLayer.options["filter_width"]
    """Options for the width of a filter."""
    filters: tuple[int, ...] = ConvLayer.options["filters"]
    """Options for the number of filters of a convolution."""
    strides: tuple[int, ...] = (1,)
    """Options for the stride in each direction; a single option is not a decision."""
    skip_connections: bool = True
    """Whether to choose the inputs of each layer; without, each layer reads the one before it."""
    order: tuple[str, ...] = ORDER
    """Order of the decisions of a convolution."""
    layer_types: tuple[str, ...] = ("conv",)
    """Options for the type of a layer; a single type "conv" is not a decision."""
    layer_options: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)
    """Options for hyper-parameters of other layer types, such as {"pool_size": (2, 3, 4)}."""
    learning_rates: tuple[float, ...] = ()
    """Options for the learning rate; empty to use the recipe's."""
    block_layers: int = 1
    """Number of convolutions in the dense block of each row."""
    pools_after: tuple[int, ...] = ()
    """Numbers of the convolutions, from 1, that are followed by max pooling."""
    pooling: tuple[int, int] = (2, 2)
    """Window size and stride of the pooling set by pools_after."""
    extra_filters: int = 0
    """Filters added to the chosen number of every convolution."""

    def __post_init__(self) -> None:
        for each in fields(self):
            if isinstance(each.default, tuple):
                object.__setattr__(self, each.name, tuple(getattr(self, each.name)))
        if not isinstance(self.layer_options, Mapping):
            raise InvalidInput(
                f"layer_options must map names to options, not {self.layer_options!r}"
            )
        layer_options = {name: tuple(options) for name, options in self.layer_options.items()}
        object.__setattr__(self, "layer_options", layer_options)
        for name in ("filter_heights", "filter_widths", "filters", "strides"):
            _check_options(name, getattr(self, name))
        if type(self.layers) is not int or not 1 <= self.layers <= self.max_layers:
            raise InvalidInput(
                f"layers must be a whole number from 1 to max_layers ({self.max_layers}), "
                f"not {self.layers}"
            )
        if type(self.skip_connections) is not bool:
            raise InvalidInput(
                f"skip_connections must be true or false, not {self.skip_connections!r}"
            )
        if sorted(self.order) != sorted(ORDER):
            raise InvalidInput(f"order must name each of {', '.join(ORDER)} once, not {self.order}")
        _check_learning_rates(self.learning_rates)
        self._check_types()

    def first(self) -> Decision:
        """Return the decision about the learning rate, if any, or else the first of layer 1."""
        if self.learning_rates:
            return Decision("learning_rate", self.learning_rates)
        return self._first_of_layer(1)

    def following(self, decision: Decision, token: int) -> Decision | None:
        """Return the next decision of the layer, or the first one of the next layer."""
        layer, source = decision.layer, decision.source
        if layer == 0:
            return self._first_of_layer(1)
        if source is not None and source + 1 < layer:
            return replace(decision, source=source + 1)
        chosen = decision.options[token] if decision.name == "layer_type" else decision.memory
        kind = str(chosen or "conv")
        names = self._names(layer, kind)
        position = names.index(decision.name) + 1
        if position < len(names):
            return self._decision(names[position], layer, kind)
        return self._first_of_layer(layer + 1) if layer < self.layers else None

    def decode(self, tokens: Sequence[int]) -> ConvArchitecture:
        """Return the network that a string describes."""
        values: list[dict[str, Any]] = [{"inputs": ()} for _ in range(self.layers + 1)]
        for decision, token in self.walk(tokens):
            chosen = values[decision.layer]
            if decision.source is None:
                chosen[decision.name] = decision.options[token]
            elif token:
                chosen["inputs"] += (decision.source,)
        rows = tuple(self._row(number, chosen) for number, chosen in enumerate(values) if number)
        blocks = self._blocks
        layers = rows if blocks.are_rows else blocks.expand(rows)
        return ConvArchitecture(layers, values[0].get("learning_rate"))

    def choice(self, architecture: Any, decision: Decision) -> Hashable:
        """Return the option that `architecture` has at `decision`."""
        rows = self._rows(architecture)
        if decision.name == "learning_rate":
            rate: float | None = architecture.learning_rate
            return rate
        row = rows[decision.layer - 1]
        self._check_row(decision.layer, row)
        if decision.name == "layer_type":
            return layer_type(row)
        if decision.source is not None:
            return int(decision.source in row.inputs)
        value: Hashable = getattr(row, decision.name)
        return value

    def canonical(self, architecture: ConvArchitecture) -> ConvArchitecture:
        """Return the architecture with its layers in the canonical order.

        Strings that only number the layers of a network differently describe the same child.
        """
        layers = architecture.layers
        order = canonical_order(
            labels=[(layer_type(one), *one.hyper_parameters.values()) for one in layers],
            inputs=[[source - 1 for source in layer.inputs] for layer in layers],
        )
        number = {node + 1: new for new, node in enumerate(order, start=1)}
        renumbered = (
            replace(layers[node], inputs=tuple(sorted(number[i] for i in layers[node].inputs)))
            for node in order
        )
        canonical = replace(architecture, layers=tuple(renumbered))
        return architecture if canonical == architecture else canonical

    def with_layers(self, layers: int) -> "ConvSpace":
        """Return the same space with `layers` layers, at most `max_layers`."""
        return replace(self, layers=layers)

    # The grammar ------------------------------------------------------------------------------

    @property
    def _typed(self) -> bool:
        """Return whether layers choose their type."""
        return self.layer_types != ("conv",)

    @cached_property
    def _options(self) -> dict[str, tuple[Any, ...]]:
        """The options of each decision, by name."""
        options: dict[str, tuple[Any, ...]] = {"layer_type": self.layer_types, "skip": (0, 1)}
        for kind in self.layer_types:
            options |= LAYER_TYPES[kind].options
        options |= {"filter_height": self.filter_heights, "filter_width": self.filter_widths}
        options |= {"stride_height": self.strides, "stride_width": self.strides}
        return options | {"filters": self.filters, **self.layer_options}

    def _first_of_layer(self, layer: int) -> Decision:
        return self._decision(self._names(layer, "conv")[0], layer, "conv")

    def _names(self, layer: int, kind: str) -> tuple[str, ...]:
        """Return the names of a layer's decisions, in order; "skip" stands for all its bits."""
        names = self.order if kind == "conv" else (*LAYER_TYPES[kind].options, "skip")
        asked = {"skip": self.skip_connections and layer > 1}
        own = (name for name in names if asked.get(name, not self._is_fixed(name)))
        return ("layer_type", *own) if self._typed else tuple(own)

    def _is_fixed(self, name: str) -> bool:
        """Return whether a hyper-parameter has a single option and so is not a decision."""
        return len(self._options[name]) == 1 and not name.startswith("filter")

    def _decision(self, name: str, layer: int, kind: str) -> Decision:
        memory = kind if self._typed and name != "layer_type" else None
        source = 1 if name == "skip" else None
        return Decision(name, self._options[name], layer, source, memory)

    # From strings to networks and back --------------------------------------------------------

    @cached_property
    def _blocks(self) -> Blocks:
        return Blocks(self.block_layers, self.pools_after, self.pooling, self.extra_filters)

    def _row(self, number: int, chosen: dict[str, Any]) -> Any:
        """Return layer `number` with the options `chosen`."""
        kind = chosen.pop("layer_type", "conv")
        return LAYER_TYPES[kind](**chosen | self._fixed(number, kind))

    def _fixed(self, number: int, kind: str) -> dict[str, Any]:
        """Return the fields of a layer that its string does not choose."""
        if self.skip_connections:
            return self._single_options[kind]
        return {**self._single_options[kind], "inputs": (number - 1,) if number > 1 else ()}

    @cached_property
    def _single_options(self) -> dict[str, dict[str, Any]]:
        """The hyper-parameters of each type that are not decisions."""
        return {
            kind: {name: self._options[name][0] for name in filter(self._is_fixed, layer.options)}
            for kind, layer in LAYER_TYPES.items()
            if kind in self.layer_types
        }

    def _rows(self, architecture: Any) -> Sequence[Layer]:
        """Return the rows that a string describes; raise ValueError if no string can."""
        if not isinstance(architecture, ConvArchitecture):
            raise InvalidInput(f"{architecture!r} is not a ConvArchitecture")
        rows: Sequence[Layer] = architecture.layers
        if not self._blocks.are_rows:
            rows = _collapse(self._blocks, architecture.layers)
        if len(rows) != self.layers:
            raise InvalidInput(f"the architecture has {len(rows)} layers, the space {self.layers}")
        if architecture.learning_rate is not None and not self.learning_rates:
            raise InvalidInput("the architecture has a learning rate, but the space has none")
        return rows

    def _check_row(self, number: int, row: Layer) -> None:
        """Raise ValueError if no string describes the layer."""
        if (kind := layer_type(row)) not in self.layer_types:
            raise InvalidInput(f"layer {number} has the type {kind!r}, which is not in the space")
        for name, value in self._fixed(number, kind).items():
            if getattr(row, name) != value:
                raise InvalidInput(
                    f"layer {number} has {name} {getattr(row, name)}, but the space has {value}"
                )

    # Validation -------------------------------------------------------------------------------

    def _check_types(self) -> None:
        types = self.layer_types
        if not types or len(set(types)) < len(types) or not set(types) <= LAYER_TYPES.keys():
            raise InvalidInput(f"layer_types must be some of {', '.join(LAYER_TYPES)}, not {types}")
        if not self._blocks.are_rows and self._typed:
            raise InvalidInput("blocks, pools_after and extra_filters need layer_types to be conv")
        others = [LAYER_TYPES[kind].options for kind in types if kind != "conv"]
        for name, options in self.layer_options.items():
            if not any(name in own for own in others):
                raise InvalidInput(f"layer_options: none of the other layer types has a {name!r}")
            _check_options(name, options)


_collapse = lru_cache(maxsize=1)(Blocks.collapse)
"""Cached, because `encode` needs the rows of the same network at every decision."""


def _check_options(name: str, options: tuple[Any, ...]) -> None:
    """Raise ValueError unless `options` are distinct whole numbers from 1."""
    if not options or any(type(option) is not int or option < 1 for option in options):
        raise InvalidInput(f"{name} must be whole numbers from 1, not {options}")
    if len(set(options)) < len(options):
        raise InvalidInput(f"{name} holds an option twice: {options}")


def _check_learning_rates(rates: tuple[Any, ...]) -> None:
    """Raise ValueError unless `rates` are distinct numbers above 0."""
    if not all(type(rate) in (int, float) and 0 < rate < inf for rate in rates):
        raise InvalidInput(f"learning_rates must be numbers above 0, not {rates}")
    if len(set(rates)) < len(rates):
        raise InvalidInput(f"learning_rates holds an option twice: {rates}")
