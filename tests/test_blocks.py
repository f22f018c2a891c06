"""Dense blocks and pooling at fixed positions: the third space of the paper."""

from dataclasses import replace

import numpy as np
import pytest

from nasgym.networks import build, parameters
from nasgym.networks.wiring import wire
from nasgym.spaces import (
    PRESETS,
    ConvArchitecture,
    ConvLayer,
    ConvSpace,
    IdentityLayer,
    MaxPoolLayer,
)
from nasgym.testing import check_space

TWO_ROWS = ConvSpace(layers=2, filters=(4,), block_layers=3, pools_after=(2, 4))


def convolutions(architecture: ConvArchitecture) -> list[ConvLayer]:
    return [layer for layer in architecture.layers if isinstance(layer, ConvLayer)]


def decoded(*rows: ConvLayer, space: ConvSpace) -> ConvArchitecture:
    """Return the network of a string of these rows, encoded in the same space without blocks."""
    plain = replace(space, block_layers=1, pools_after=(), extra_filters=0)
    return space.decode(plain.encode(ConvArchitecture(rows)))


def test_each_row_becomes_a_dense_block_that_is_read_as_a_whole() -> None:
    row, space = ConvLayer(3, 5, 4), replace(TWO_ROWS, layers=3, pools_after=())
    network = decoded(row, replace(row, inputs=(1,)), replace(row, inputs=(1, 2)), space=space)
    assert network.layers[0] == IdentityLayer()
    assert [layer.inputs for layer in network.layers[1:]] == [
        *((1,), (1, 2), (1, 2, 3)),
        *((2, 3, 4), (2, 3, 4, 5), (2, 3, 4, 5, 6)),
        *((2, 3, 4, 5, 6, 7), (2, 3, 4, 5, 6, 7, 8), (2, 3, 4, 5, 6, 7, 8, 9)),
    ]
    for layer in network.layers[1:]:
        assert layer.hyper_parameters == row.hyper_parameters


def test_what_is_read_from_before_a_pooling_is_pooled() -> None:
    row, pool = ConvLayer(3, 3, 4), MaxPoolLayer(2, 2)
    assert decoded(row, row, space=TWO_ROWS).layers == (
        IdentityLayer(),
        replace(row, inputs=(1,)),
        replace(row, inputs=(1, 2)),
        replace(pool, inputs=(1,)),
        replace(pool, inputs=(2, 3)),
        replace(row, inputs=(4, 5)),
        replace(row, inputs=(4,)),
        replace(pool, inputs=(4,)),
        replace(pool, inputs=(6,)),  # for the classifier: no layer reads the first block
        replace(pool, inputs=(7,)),
        replace(row, inputs=(8, 10)),
        replace(row, inputs=(8, 10, 11)),
    )


def test_pooling_without_blocks() -> None:
    space = ConvSpace(layers=3, filters=(4,), pools_after=(1,), pooling=(3, 2), extra_filters=1)
    row, layer = ConvLayer(1, 1, 4), ConvLayer(1, 1, 5)
    network = decoded(row, row, replace(row, inputs=(1, 2)), space=space)
    assert network.layers == (
        layer,
        MaxPoolLayer(3, 2),
        MaxPoolLayer(3, 2, inputs=(1,)),
        replace(layer, inputs=(2,)),
        replace(layer, inputs=(3, 4)),
    )
    assert space.decode(space.encode(network)) == network


@pytest.mark.parametrize("space", [TWO_ROWS, PRESETS["v3"].with_layers(13)], ids=["small", "v3"])
def test_conformance(space: ConvSpace) -> None:
    check_space(space, samples=10)


@pytest.mark.parametrize("preset", ["v3", "v3-40"])
def test_the_papers_39_layers(preset: str) -> None:
    space, rng = PRESETS[preset].with_layers(13), np.random.default_rng(0)
    assert space.max_layers == 13
    assert space.max_length == 13 * 3 + 13 * 12 // 2
    extra = 40 if preset == "v3-40" else 0
    for _ in range(20):
        network = space.decode(space.sample(rng))
        filters = [layer.filters - extra for layer in convolutions(network)]
        assert len(filters) == 39
        assert set(filters) <= {6, 12, 24, 36}
        assert filters[::3] == filters[1::3] == filters[2::3]
        wiring = wire(network)
        sizes = [
            wired.size
            for layer, wired in zip(network.layers, wiring.layers, strict=True)
            if isinstance(layer, ConvLayer)
        ]
        assert sizes == [(32, 32)] * 13 + [(16, 16)] * 11 + [(8, 8)] * 15
        for wired in wiring.layers:  # nothing is grown: all sources have one size
            read = {wiring.layers[i - 1].size for i in wired.sources if i}
            assert read <= {wired.in_size}
        assert {wiring.layers[i - 1].size for i in wiring.sources} == {(8, 8)}


@pytest.mark.parametrize(
    ("preset", "layers", "published"),
    [("v1", 15, 4.2e6), ("v2", 20, 2.5e6), ("v3", 13, 7.1e6), ("v3-40", 13, 37.4e6)],
)
def test_the_papers_parameters_are_of_the_magnitude_of_random_strings(
    preset: str, layers: int, published: float
) -> None:
    """Table 1: the networks found are as large as, or larger than, what chance makes."""
    space, rng = PRESETS[preset].with_layers(layers), np.random.default_rng(0)
    counts = [parameters(space.decode(space.sample(rng))) for _ in range(200)]
    assert np.median(counts) / 2 < published < 2 * max(counts)
    assert np.median(counts) > published / 4


def test_a_string_of_fewer_rows_begins_one_of_more() -> None:
    space, deeper = PRESETS["v3"].with_layers(8), PRESETS["v3"].with_layers(13)
    tokens = space.sample(np.random.default_rng(0))
    rest = (0,) * (deeper.max_length - len(tokens))
    first, more = convolutions(space.decode(tokens)), convolutions(deeper.decode(tokens + rest))
    assert (len(first), len(more)) == (24, 39)
    for one, other in zip(first, more, strict=False):
        assert one.hyper_parameters == other.hyper_parameters


def test_a_network_of_blocks_runs_at_its_cost() -> None:
    space = replace(TWO_ROWS, layers=3)
    network = space.decode(space.sample(np.random.default_rng(1)))
    built = build(network, (1, 9, 6), 3)
    assert sum(weight.numel() for weight in built.parameters()) == parameters(network, (1, 9, 6), 3)


def test_what_no_blocks_make_is_not_encoded() -> None:
    network = decoded(ConvLayer(3, 3, 4), ConvLayer(3, 3, 4, inputs=(1,)), space=TWO_ROWS)
    layers = network.layers
    others = [
        layers[1:],
        layers[:-1],
        (*layers[:-1], replace(layers[-1], inputs=(1,))),
        (*layers[:-1], ConvLayer(1, 1, 4, inputs=layers[-1].inputs)),
        (ConvLayer(3, 3, 4),) * 6,
    ]
    for other in others:
        with pytest.raises(ValueError, match="does not consist of the blocks"):
            TWO_ROWS.encode(ConvArchitecture(other))
    with pytest.raises(ValueError, match="the architecture has 2 layers, the space 3"):
        replace(TWO_ROWS, layers=3).encode(network)
