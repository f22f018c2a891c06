"""Convolutional networks with skip connections: the architecture and its search space."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from math import inf
from typing import Any, ClassVar

from nasgym.spaces.base import Decision, SearchSpace
from nasgym.spaces.blocks import Blocks
from nasgym.spaces.isomorphism import canonical_order
from nasgym.spaces.layers import LAYER_TYPES, ConvLayer, Layer, layer_type, read_layers


@dataclass(frozen=True)
class ConvArchitecture:
    """A convolutional network: its layers in order, layer 1 nearest to the image."""

    kind: ClassVar[str] = "conv"

    layers: tuple[Layer, ...]
    """The layers; layer i is `layers[i - 1]`."""
    learning_rate: float | None = None
    """The learning rate it is to be trained with; None leaves it to the recipe."""

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "ConvArchitecture":
        """Return the architecture whose plain form is `data`."""
        rate = data.get("learning_rate")
        if rate is not None:
            _check_learning_rates((rate,))
        return cls(read_layers(data["layers"]), rate)


ORDER = ("filter_height", "filter_width", "stride_height", "stride_width", "skip", "filters")
"""The order of a layer's decisions: the complete bracket of Zoph & Le 2017, figure 4."""


@dataclass(frozen=True)
class ConvSpace(SearchSpace):
    """The convolutional spaces of Zoph & Le 2017, sections 3.1, 3.3 and 4.1.

    Every string describes exactly `layers` layers. A layer chooses its filter height and width,
    its strides if there is a choice, one bit for each earlier layer (1: that layer is an input;
    at the anchor point, section 3.3) and its number of filters. Without skip connections a layer
    reads the one before it. With the defaults a string of L layers has 3 L + L (L - 1) / 2 tokens.

    With more layer types than convolutions a layer begins with its type; a type's own
    hyper-parameters and the bits follow. With learning rates a string begins with one (both
    section 3.3). With blocks or pooling at fixed places a string describes rows, which `Blocks`
    turns into layers, and `layers` counts rows.
    """

    layers: int = 6
    """Number of layers of every string."""
    max_layers: int = 20
    """The deepest that `with_layers` may go."""
    filter_heights: tuple[int, ...] = ConvLayer.options["filter_height"]
    """Options for the rows of a filter."""
    filter_widths: tuple[int, ...] = ConvLayer.options["filter_width"]
    """Options for the columns of a filter."""
    filters: tuple[int, ...] = ConvLayer.options["filters"]
    """Options for the number of filters."""
    strides: tuple[int, ...] = (1,)
    """Options for the stride, in each direction; a single one is no decision."""
    skip_connections: bool = True
    """Whether the inputs of a layer are chosen too."""
    order: tuple[str, ...] = ORDER
    """The order of a convolution's decisions: the names of ORDER in any order."""
    layer_types: tuple[str, ...] = ("conv",)
    """Options for the type of a layer, names of LAYER_TYPES; convolutions alone are no decision."""
    layer_options: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)
    """Other options for hyper-parameters of the other types ({"pool_size": (2, 3, 4)})."""
    learning_rates: tuple[float, ...] = ()
    """Options for the learning rate; none leave it to the recipe."""
    block_layers: int = 1
    """Convolutions in the dense block that each row becomes."""
    pools_after: tuple[int, ...] = ()
    """Numbers of the convolutions that max pooling comes right after."""
    pooling: tuple[int, int] = (2, 2)
    """Size and stride of the pooling of `pools_after`."""
    extra_filters: int = 0
    """Filters that every convolution has beyond the number chosen."""

    def __post_init__(self) -> None:
        for each in fields(self):
            if isinstance(each.default, tuple):
                object.__setattr__(self, each.name, tuple(getattr(self, each.name)))
        if not isinstance(self.layer_options, Mapping):
            raise ValueError(f"layer_options maps names to options, not {self.layer_options!r}")
        layer_options = {name: tuple(options) for name, options in self.layer_options.items()}
        object.__setattr__(self, "layer_options", layer_options)
        for name in ("filter_heights", "filter_widths", "filters", "strides"):
            _check_options(name, getattr(self, name))
        if type(self.layers) is not int or not 1 <= self.layers <= self.max_layers:
            raise ValueError(
                f"layers must be a whole number from 1 to max_layers ({self.max_layers}), "
                f"not {self.layers}"
            )
        if type(self.skip_connections) is not bool:
            raise ValueError(f"skip_connections is true or false, not {self.skip_connections!r}")
        if sorted(self.order) != sorted(ORDER):
            raise ValueError(f"order must name each of {', '.join(ORDER)} once, not {self.order}")
        _check_learning_rates(self.learning_rates)
        self._check_types()

    def first(self) -> Decision:
        """Return the learning rate if it is chosen, or else the first decision of layer 1."""
        if self.learning_rates:
            return Decision("learning_rate", self.learning_rates)
        return self._beginning(1)

    def following(self, decision: Decision, token: int) -> Decision | None:
        """Return the next decision of the layer, or the first of the next layer."""
        layer, source = decision.layer, decision.source
        if layer == 0:
            return self._beginning(1)
        if source is not None and source + 1 < layer:
            return replace(decision, source=source + 1)
        chosen = decision.options[token] if decision.name == "layer_type" else decision.memory
        kind = str(chosen or "conv")
        names = self._names(layer, kind)
        position = names.index(decision.name) + 1
        if position < len(names):
            return self._decision(names[position], layer, kind)
        return self._beginning(layer + 1) if layer < self.layers else None

    def decode(self, tokens: Sequence[int]) -> ConvArchitecture:
        """Return the network a string describes."""
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
        """Return what `architecture` has at `decision`."""
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
        """Return the architecture with its layers numbered in the canonical order.

        Two strings that number the layers of one network differently are one child.
        """
        layers = architecture.layers
        order = canonical_order(
            labels=[(layer_type(one), *one.hyper_parameters.values()) for one in layers],
            inputs=[[source - 1 for source in layer.inputs] for layer in layers],
        )
        number = {node + 1: place for place, node in enumerate(order, start=1)}
        renumbered = (
            replace(layers[node], inputs=tuple(sorted(number[i] for i in layers[node].inputs)))
            for node in order
        )
        return replace(architecture, layers=tuple(renumbered))

    def with_layers(self, layers: int) -> "ConvSpace":
        """Return the same space at a depth of `layers`, at most `max_layers`."""
        return replace(self, layers=layers)

    # The grammar ------------------------------------------------------------------------------

    @property
    def _typed(self) -> bool:
        """Return whether layers choose their type."""
        return self.layer_types != ("conv",)

    @cached_property
    def _options(self) -> dict[str, tuple[Any, ...]]:
        """The options of each decision by its name."""
        options: dict[str, tuple[Any, ...]] = {"layer_type": self.layer_types, "skip": (0, 1)}
        for kind in self.layer_types:
            options |= LAYER_TYPES[kind].options
        options |= {"filter_height": self.filter_heights, "filter_width": self.filter_widths}
        options |= {"stride_height": self.strides, "stride_width": self.strides}
        return options | {"filters": self.filters, **self.layer_options}

    def _beginning(self, layer: int) -> Decision:
        return self._decision(self._names(layer, "conv")[0], layer, "conv")

    def _names(self, layer: int, kind: str) -> tuple[str, ...]:
        """Return the decisions of a layer of a type, in order; "skip" stands for its first bit."""
        names = self.order if kind == "conv" else (*LAYER_TYPES[kind].options, "skip")
        asked = {"skip": self.skip_connections and layer > 1}
        own = (name for name in names if asked.get(name, not self._is_fixed(name)))
        return ("layer_type", *own) if self._typed else tuple(own)

    def _is_fixed(self, name: str) -> bool:
        """Return whether a hyper-parameter is no decision, because it has a single option."""
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
        """Return the layer for which a string has `chosen`."""
        kind = chosen.pop("layer_type", "conv")
        return LAYER_TYPES[kind](**chosen | self._fixed(number, kind))

    def _fixed(self, number: int, kind: str) -> dict[str, Any]:
        """Return what a layer of a type has without any choice."""
        if self.skip_connections:
            return self._single_options[kind]
        return {**self._single_options[kind], "inputs": (number - 1,) if number > 1 else ()}

    @cached_property
    def _single_options(self) -> dict[str, dict[str, Any]]:
        """The hyper-parameters of each type that are no decisions."""
        return {
            kind: {name: self._options[name][0] for name in filter(self._is_fixed, layer.options)}
            for kind, layer in LAYER_TYPES.items()
            if kind in self.layer_types
        }

    def _rows(self, architecture: Any) -> Sequence[Layer]:
        """Return what a string would describe, or raise ValueError if none can."""
        if not isinstance(architecture, ConvArchitecture):
            raise ValueError(f"{architecture!r} is no convolutional network")
        rows: Sequence[Layer] = architecture.layers
        if not self._blocks.are_rows:
            rows = _collapse(self._blocks, architecture.layers)
        if len(rows) != self.layers:
            raise ValueError(f"the architecture has {len(rows)} layers, the space {self.layers}")
        if architecture.learning_rate is not None and not self.learning_rates:
            raise ValueError("the architecture has a learning rate, the space none")
        return rows

    def _check_row(self, number: int, row: Layer) -> None:
        """Raise ValueError if a layer has what no string describes."""
        if (kind := layer_type(row)) not in self.layer_types:
            raise ValueError(f"layer {number} is of the type {kind!r}, which the space has not")
        for name, value in self._fixed(number, kind).items():
            if getattr(row, name) != value:
                raise ValueError(
                    f"layer {number} has {name} {getattr(row, name)}, in this space it is {value}"
                )

    # Mistakes ---------------------------------------------------------------------------------

    def _check_types(self) -> None:
        types = self.layer_types
        if not types or len(set(types)) < len(types) or not set(types) <= LAYER_TYPES.keys():
            raise ValueError(f"layer_types must be some of {', '.join(LAYER_TYPES)}, not {types}")
        if not self._blocks.are_rows and self._typed:
            raise ValueError("blocks, pools_after and extra_filters are for convolutions alone")
        others = [LAYER_TYPES[kind].options for kind in types if kind != "conv"]
        for name, options in self.layer_options.items():
            if not any(name in own for own in others):
                raise ValueError(f"layer_options: none of the other layer types has a {name!r}")
            _check_options(name, options)


_collapse = lru_cache(maxsize=1)(Blocks.collapse)
"""Encoding asks for the rows of one network at each of its decisions."""


def _check_options(name: str, options: tuple[Any, ...]) -> None:
    """Raise ValueError unless `options` are different whole numbers from 1."""
    if not options or any(type(option) is not int or option < 1 for option in options):
        raise ValueError(f"{name} must be whole numbers from 1, not {options}")
    if len(set(options)) < len(options):
        raise ValueError(f"{name} holds an option twice: {options}")


def _check_learning_rates(rates: tuple[Any, ...]) -> None:
    """Raise ValueError unless `rates` are different numbers above 0."""
    if not all(type(rate) in (int, float) and 0 < rate < inf for rate in rates):
        raise ValueError(f"learning_rates must be numbers above 0, not {rates}")
    if len(set(rates)) < len(rates):
        raise ValueError(f"learning_rates holds an option twice: {rates}")
