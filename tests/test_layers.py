"""Layer types: their grammar, and their computation."""

import itertools
import re
from math import ceil, exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nasgym import drawing
from nasgym.networks import build, parameters
from nasgym.networks import layers as networks_layers
from nasgym.networks.layers import module
from nasgym.networks.wiring import wire
from nasgym.spaces import (
    LAYER_TYPES,
    AveragePoolLayer,
    BatchNormLayer,
    ConvArchitecture,
    ConvLayer,
    ConvSpace,
    IdentityLayer,
    Layer,
    LocalContrastNormLayer,
    MaxPoolLayer,
    read,
)
from nasgym.spaces import layers as spaces_layers
from nasgym.spaces.plain import digest, plain
from nasgym.testing import check_space

TYPED = ConvSpace(
    layers=5,
    filter_heights=(1, 4),
    filter_widths=(2, 3),
    filters=(1, 3),
    strides=(1, 2),
    layer_types=tuple(LAYER_TYPES),
    layer_options={"pool_size": (2, 3, 5), "pool_stride": (1, 2, 3)},
    learning_rates=(0.05, 0.1),
)

MIXED = ConvArchitecture(
    (
        ConvLayer(3, 5, 8),
        MaxPoolLayer(3, 2, inputs=(1,)),
        BatchNormLayer(inputs=(2,)),
        LocalContrastNormLayer(inputs=(1, 3)),
        IdentityLayer(inputs=(2, 4)),
        AveragePoolLayer(2, 1),
    ),
    learning_rate=0.1,
)


def named(space: ConvSpace, tokens: tuple[int, ...]) -> list[str]:
    return [
        f"{decision.name} {decision.options[token]}"
        if decision.source is None
        else f"skip {decision.source}"
        for decision, token in space.walk(tokens)
    ]


# The grammar


def test_a_layer_chooses_its_type_then_the_hyper_parameters_of_that_type() -> None:
    space = ConvSpace(layers=6, layer_types=tuple(LAYER_TYPES), learning_rates=(0.1, 0.2))
    architecture = ConvArchitecture(
        (ConvLayer(3, 5, 36), *MIXED.layers[1:5], MaxPoolLayer(2, 1, inputs=(1,))), 0.2
    )
    assert named(space, space.encode(architecture)) == [
        "learning_rate 0.2",
        *("layer_type conv", "filter_height 3", "filter_width 5", "filters 36"),
        *("layer_type max_pool", "pool_size 3", "pool_stride 2", "skip 1"),
        *("layer_type batch_norm", "skip 1", "skip 2"),
        *("layer_type local_contrast_norm", "skip 1", "skip 2", "skip 3"),
        *("layer_type identity", "skip 1", "skip 2", "skip 3", "skip 4"),
        *("layer_type max_pool", "pool_size 2", "pool_stride 1"),
        *("skip 1", "skip 2", "skip 3", "skip 4", "skip 5"),
    ]
    assert space.decode(space.encode(architecture)) == architecture


@pytest.mark.parametrize(
    "space",
    [
        TYPED,
        ConvSpace(layers=2, layer_types=("identity",)),
        ConvSpace(layers=3, layer_types=("batch_norm", "conv"), skip_connections=False),
        ConvSpace(layers=2, layer_types=("max_pool",), layer_options={"pool_stride": (2,)}),
        ConvSpace(layers=2, learning_rates=[0.1]),  # type: ignore[arg-type]
    ],
)
def test_conformance(space: ConvSpace) -> None:
    check_space(space, samples=30)


def test_the_number_of_strings_with_layer_types() -> None:
    space = ConvSpace(layers=3, layer_types=("conv", "max_pool", "identity"), learning_rates=(1, 2))
    assert space.size == 2 * (64 + 4 + 1) ** 3 * 2**3


def test_a_string_of_a_shallower_space_begins_one_of_a_deeper() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        shallow = tokens = TYPED.with_layers(2).sample(rng)
        while not TYPED.contains(tokens):
            tokens += (0,)
        deep = TYPED.decode(tokens)
        assert deep.layers[:2] == TYPED.with_layers(2).decode(shallow).layers


def test_a_single_option_is_no_decision() -> None:
    space = ConvSpace(layers=1, layer_types=("max_pool",), layer_options={"pool_size": (4,)})
    assert [space.decode(tokens).layers for tokens in space] == [
        (MaxPoolLayer(4, 1),),
        (MaxPoolLayer(4, 2),),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_types": ()}, "layer_types must be some of conv, max_pool, average_pool,"),
        ({"layer_types": ("conv", "dropout")}, "layer_types must be some of .*'dropout'"),
        ({"layer_options": {"pool_size": (2,)}}, "none of the other layer types has a 'pool_size'"),
        ({"layer_options": [3]}, r"layer_options must map names to options, not \[3\]"),
        (
            {"layer_types": ("conv", "max_pool"), "layer_options": {"pool_size": (0,)}},
            "pool_size must be whole numbers from 1",
        ),
        ({"learning_rates": (0.1, 0.0)}, "learning_rates must be numbers above 0"),
        ({"learning_rates": (0.1, 0.1)}, "learning_rates holds an option twice"),
        ({"layer_types": ("conv", "identity"), "block_layers": 3}, "need layer_types to be conv"),
        ({"block_layers": 0}, "must be whole numbers from 1 and extra_filters from 0"),
        ({"pooling": (2,)}, "must be whole numbers from 1 and extra_filters from 0"),
    ],
)
def test_a_mistake_in_the_options_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ConvSpace(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("space", "architecture", "message"),
    [
        (ConvSpace(layers=1), ConvArchitecture((IdentityLayer(),)), "has the type 'identity'"),
        (ConvSpace(layers=1), ConvArchitecture((ConvLayer(3, 3, 24, 2),)), "stride_height 2"),
        (ConvSpace(layers=1), ConvArchitecture((ConvLayer(3, 3, 24),), 0.1), "a learning rate"),
        (TYPED.with_layers(1), ConvArchitecture((IdentityLayer(),)), "None is none of the options"),
        (
            ConvSpace(layers=2, skip_connections=False),
            ConvArchitecture((ConvLayer(3, 3, 24), ConvLayer(3, 3, 24))),
            r"layer 2 has inputs \(\), but the space has \(1,\)",
        ),
    ],
)
def test_what_no_string_means_is_not_encoded(
    space: ConvSpace, architecture: ConvArchitecture, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        space.encode(architecture)


# Plain data


def test_the_plain_form_of_convolutions_alone_is_as_it_always_was() -> None:
    architecture = ConvArchitecture((ConvLayer(3, 5, 24, inputs=()), ConvLayer(1, 1, 8, 2)))
    layer = {"filter_width": 5, "filters": 24, "stride_height": 1, "stride_width": 1, "inputs": []}
    assert plain(architecture)["layers"][0] == {"filter_height": 3, **layer}
    assert plain(architecture).keys() == {"kind", "layers"}
    assert digest(architecture).startswith("1a718dc49ea26602")


def test_the_plain_form_of_other_layers_carries_their_kind() -> None:
    data = plain(MIXED)
    assert data["learning_rate"] == 0.1
    assert data["layers"][1] == {
        "kind": "max_pool",
        "pool_size": 3,
        "pool_stride": 2,
        "inputs": [1],
    }
    assert data["layers"][2] == {"kind": "batch_norm", "inputs": [2]}
    assert read(data) == MIXED


def test_an_unknown_layer_type_in_a_file_is_named() -> None:
    data = {"kind": "conv", "layers": [{"kind": "dropout", "inputs": []}]}
    with pytest.raises(ValueError, match="layer type 'dropout' is none of conv, max_pool"):
        read(data)


def test_canonical_form_tells_types_apart_and_keeps_the_learning_rate() -> None:
    def canonical(first: Layer, second: Layer) -> ConvArchitecture:
        return TYPED.canonical(ConvArchitecture((first, second), 0.1))

    pools = MaxPoolLayer(2, 2), AveragePoolLayer(2, 2), MaxPoolLayer(3, 2), ConvLayer(2, 2, 2)
    for one, other in itertools.combinations(pools, 2):
        assert canonical(one, other) == canonical(other, one)
        assert canonical(one, one) != canonical(one, other)
    assert canonical(*pools[:2]).learning_rate == 0.1


# What they compute


def applied(layer: Layer, maps: Tensor) -> Tensor:
    """Return the output of the module of `layer` for one image (channels, rows, columns)."""
    (wired,) = wire(ConvArchitecture((layer,)), tuple(maps.shape)).layers
    result: Tensor = module(layer, wired).double()(maps[None])[0]
    assert result.shape == (wired.operation.channels, *wired.size)
    return result


@pytest.mark.parametrize("shape", [(2, 4, 4), (1, 5, 8), (3, 7, 3), (1, 1, 1)])
@pytest.mark.parametrize(("size", "stride"), [(2, 1), (2, 2), (3, 1), (3, 2), (4, 3), (1, 2)])
def test_pooling_sees_the_map_and_nothing_around_it(
    shape: tuple[int, int, int], size: int, stride: int
) -> None:
    maps = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 5
    outputs = [ceil(extent / stride) for extent in shape[1:]]
    starts = [
        -(max((out - 1) * stride + size - extent, 0) // 2)
        for out, extent in zip(outputs, shape[1:], strict=True)
    ]
    means, largest = torch.zeros(shape[0], *outputs), torch.zeros(shape[0], *outputs)
    means, largest = means.double(), largest.double()
    for row, column in itertools.product(*map(range, outputs)):
        top, left = starts[0] + row * stride, starts[1] + column * stride
        window = maps[:, max(top, 0) : top + size, max(left, 0) : left + size]
        means[:, row, column] = window.mean((1, 2))
        largest[:, row, column] = window.amax((1, 2))
    torch.testing.assert_close(applied(AveragePoolLayer(size, stride), maps), means)
    torch.testing.assert_close(applied(MaxPoolLayer(size, stride), maps), largest)


def test_local_contrast_normalisation_is_subtractive_then_divisive() -> None:
    maps = torch.randn(2, 6, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def around(values: Tensor) -> Tensor:
        result = torch.zeros(6, 11, dtype=torch.float64)
        for row, column in itertools.product(range(6), range(11)):
            total = weights = 0.0
            for i, j in itertools.product(range(6), range(11)):
                if max(abs(i - row), abs(j - column)) <= 4:
                    weight = exp(-((i - row) ** 2 + (j - column) ** 2) / 8)
                    total += weight * values[:, i, j].mean().item()
                    weights += weight
            result[row, column] = total / weights
        return result

    centred = maps - around(maps)
    deviation = around(centred**2).sqrt()
    expected = centred / deviation.clamp(min=deviation.mean())
    torch.testing.assert_close(applied(LocalContrastNormLayer(), maps), expected)


def test_local_contrast_normalisation_of_a_constant_map_is_finite() -> None:
    maps = torch.full((1, 5, 5), 3.0, dtype=torch.float64, requires_grad=True)
    result = applied(LocalContrastNormLayer(), maps)
    (gradient,) = torch.autograd.grad(result.sum(), maps)
    assert result.abs().max() < 0.01
    assert gradient.isfinite().all()


def test_batch_normalisation_and_identity() -> None:
    maps = torch.randn(3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert applied(IdentityLayer(), maps).equal(maps)
    normalised = applied(BatchNormLayer(), maps)
    torch.testing.assert_close(normalised.mean((1, 2)), torch.zeros(3, dtype=torch.float64))
    assert parameters(ConvArchitecture((BatchNormLayer(),)), (3, 4, 4), 2) == 6 + 8


@pytest.mark.parametrize("kind", LAYER_TYPES)
def test_every_type_has_a_module_of_its_own(kind: str) -> None:
    assert module.dispatch(LAYER_TYPES[kind]) is not module.dispatch(object)


def test_a_layer_type_is_added_as_contributing_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    dataclass, function = re.findall("```python\n(.*?)```", text, re.DOTALL)
    names = {**vars(spaces_layers)}
    exec(dataclass, names)
    added = names["DepthwiseLayer"]
    exec(function, {**vars(networks_layers), "DepthwiseLayer": added})
    monkeypatch.setitem(vars(spaces_layers)["LAYER_TYPES"], added.kind, added)
    space = ConvSpace(layers=3, filters=(2,), layer_types=("depthwise", "conv", "max_pool"))
    check_space(space, samples=5)
    network = ConvArchitecture((ConvLayer(3, 3, 2), added(4, inputs=(1,))))
    assert parameters(network, (1, 6, 6), 2) == 9 * 2 + 4 + 16 * 2 + 3 * 2
    built = build(network, (1, 6, 6), 2)
    assert sum(map(Tensor.numel, built.parameters())) == parameters(network, (1, 6, 6), 2)
    assert built(torch.rand(2, 1, 6, 6)).shape == (2, 2)
    assert read(plain(network)) == network
    assert "depthwise   4 × 4" in drawing.text(network)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_mixed_network_trains_in_half_precision(memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    network = build(MIXED, (3, 12, 8), 4)
    images = torch.rand(4, 3, 12, 8).contiguous(memory_format=memory_format)
    with torch.autocast("cpu", torch.bfloat16):
        loss = cross_entropy(network(images).float(), torch.arange(4))
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(
        weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters()
    )


def test_a_network_of_identities_is_a_linear_classifier_of_the_mean_colour() -> None:
    network = build(ConvArchitecture((IdentityLayer(), IdentityLayer(inputs=(1,)))), (3, 6, 4), 5)
    images = torch.rand(2, 3, 6, 4)
    classifier = network.classifier
    assert isinstance(classifier, nn.Linear)
    torch.testing.assert_close(network(images), classifier(images.mean((2, 3))))
