"""Networks: their wiring, and what they compute.

That random ones build, run and train at the predicted cost is in tests/faults/test_spaces.py.
"""

import subprocess
import sys
from itertools import product
from math import ceil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nasgym.networks import build, flops, parameters, zoo
from nasgym.networks.conv import ConvNetwork
from nasgym.networks.wiring import connections, wire
from nasgym.spaces import ConvArchitecture, ConvLayer

# The zoo


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nas-v1", 4_201_140 + 490),
        ("nas-v1-chain", 808_644 + 490),
        ("nas-v1-dense", 6_630_420 + 490),
    ],
)
def test_zoo_has_the_parameters_of_the_paper(name: str, expected: int) -> None:
    """Acceptance check 2 (section 4.1): 4.2 million; without skip connections; with all of them.

    490 of them are the classifier's.
    """
    architecture = zoo.by_name(name)
    assert parameters(architecture) == expected
    assert sum(map(Tensor.numel, build(architecture).parameters())) == expected


def test_nas_v1_is_wired_as_in_figure_7() -> None:
    """Acceptance check 2: no map is smaller than the image."""
    wiring = wire(zoo.NAS_V1)
    depths = [3, 36, 84, 120, 72, 168, 216, 132, 168, 324, 336, 240, 360, 180, 276]
    assert [layer.in_channels for layer in wiring.layers] == depths
    assert {layer.size for layer in wiring.layers} == {(32, 32)}
    assert sum(len(layer.inputs) for layer in zoo.NAS_V1.layers) == 65
    assert (wiring.sources, wiring.features) == ((15,), 48)


def test_plain_conv_is_a_chain_of_the_size_it_says() -> None:
    assert connections(zoo.PLAIN_CONV) == tuple((number,) for number in range(9))
    assert wire(zoo.PLAIN_CONV).size == (8, 8)
    assert f"{parameters(zoo.PLAIN_CONV):,} parameters" in Path(zoo.__file__).read_text()


def test_unknown_name_is_answered_with_the_names() -> None:
    with pytest.raises(ValueError, match="no 'nas-v9', only nas-v1, nas-v1-chain, nas-v1-dense"):
        zoo.by_name("nas-v9")


# Wiring


def five_layers(*inputs: tuple[int, ...]) -> ConvArchitecture:
    return ConvArchitecture(tuple(ConvLayer(3, 3, 4, inputs=sources) for sources in inputs))


def test_without_connections_all_layers_read_the_image_and_the_classifier_reads_all() -> None:
    """Acceptance check 7: rules 1 and 2 of section 3.3."""
    architecture = five_layers((), (), (), (), ())
    assert connections(architecture) == ((0,), (0,), (0,), (0,), (0,), (1, 2, 3, 4, 5))
    assert wire(architecture).features == 20


def test_with_all_connections_the_classifier_reads_the_last_layer() -> None:
    """Acceptance check 7: rule 2 of section 3.3."""
    architecture = five_layers((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4))
    assert connections(architecture) == ((0,), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), (5,))
    assert wire(architecture).features == 4


def test_a_network_is_wired_once_for_all_its_costs() -> None:
    architecture = ConvArchitecture((ConvLayer(3, 3, 4), ConvLayer(3, 3, 4, inputs=(1,))))
    assert wire(architecture, [1, 8, 8]) is wire(architecture, (1, 8, 8))
    assert wire(architecture, (1, 8, 8)) is not wire(architecture, (1, 9, 8))


def test_a_size_that_only_equals_a_whole_number_is_refused() -> None:
    """1, 1.0 and True are equal, so a wiring must not be remembered by equality."""
    wire(ConvArchitecture((ConvLayer(1, 1, 1),)))
    for one in (True, 1.0):
        with pytest.raises(ValueError, match="filters must be a whole number from 1"):
            wire(ConvArchitecture((ConvLayer(1, 1, one),)))  # type: ignore[arg-type]


def test_order_of_the_inputs_does_not_matter() -> None:
    assert wire(five_layers((), (), (2, 1))) == wire(five_layers((), (), (1, 2)))


def test_mixed_strides_are_grown_to_the_largest_source_and_channels_add_up() -> None:
    """Acceptance check 8: rule 3 of section 3.3."""
    architecture = ConvArchitecture(
        (
            ConvLayer(3, 3, 2, stride_height=2),
            ConvLayer(3, 3, 3, stride_width=3),
            ConvLayer(2, 5, 4, inputs=(1, 2)),
        )
    )
    first, second, joined = wire(architecture, (1, 7, 10)).layers
    assert (first.size, second.size) == ((4, 10), (7, 4))
    assert (joined.in_channels, joined.size) == (5, (7, 10))
    assert (joined.in_size, joined.padding, joined.uneven) == ((7, 10), (0, 2), (1, 0))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((), "at least one layer"),
        ((ConvLayer(3, 3, 8, inputs=(1,)),), "layer 1 reads 1"),
        ((ConvLayer(3, 3, 8), ConvLayer(3, 3, 8, inputs=(3,))), "layer 2 reads 3"),
        ((ConvLayer(3, 3, 8), ConvLayer(3, 3, 8, inputs=(0,))), "layer 2 reads 0"),
        ((ConvLayer(3, 3, 8), ConvLayer(3, 3, 8, inputs=(1, 1))), "layer 2 reads a layer twice"),
        ((ConvLayer(0, 3, 8),), "layer 1: filter_height must be a whole number from 1, not 0"),
        ((ConvLayer(3, 3, -8),), "layer 1: filters must be a whole number from 1, not -8"),
        ((ConvLayer(3, 3, 8, 1, 1.5),), "layer 1: stride_width must .* not 1.5"),  # type: ignore[arg-type]
    ],
)
def test_architecture_that_cannot_be_wired_is_named_in_one_line(
    layers: tuple[ConvLayer, ...], message: str
) -> None:
    for work in (build, parameters, flops, connections):
        with pytest.raises(ValueError, match=message) as caught:
            work(ConvArchitecture(layers))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(32, 32), (3, 0, 32), (3, 32, 32.0), (1, 3, 32, 32)])
def test_bad_input_shape_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"input_shape must be \(channels, height, width\)"):
        build(zoo.NAS_V1, shape)


@pytest.mark.parametrize("work", [build, parameters, flops])
def test_bad_number_of_outputs_is_an_error(work: object) -> None:
    assert callable(work)
    with pytest.raises(ValueError, match="outputs must be a whole number from 1, not 0"):
        work(zoo.NAS_V1, outputs=0)


# The built network


def reference_convolution(maps: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Return a SAME convolution, computed weight by weight for each output."""
    weight, strides = convolution.weight, convolution.stride
    filters, sizes = weight.shape[2:], maps.shape[1:]
    out = [ceil(sizes[axis] / strides[axis]) for axis in (0, 1)]
    first = [
        -(max((out[axis] - 1) * strides[axis] + filters[axis] - sizes[axis], 0) // 2)
        for axis in (0, 1)
    ]
    result = torch.zeros(len(weight), *out, dtype=maps.dtype)
    for i, j, k, m in product(*map(range, (*out, *filters))):
        row, column = first[0] + i * strides[0] + k, first[1] + j * strides[1] + m
        if 0 <= row < sizes[0] and 0 <= column < sizes[1]:
            result[:, i, j] += weight[:, :, k, m] @ maps[:, row, column]
    return result


def reference_join(maps: list[Tensor]) -> Tensor:
    """Return the channels of all maps, with zeros at the bottom and right of the smaller ones."""
    rows, columns = (max(each.shape[axis] for each in maps) for axis in (1, 2))
    joined = torch.zeros(sum(map(len, maps)), rows, columns, dtype=maps[0].dtype)
    channel = 0
    for each in maps:
        joined[channel : channel + len(each), : each.shape[1], : each.shape[2]] = each
        channel += len(each)
    return joined


@torch.no_grad()
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_network_computes_what_the_rules_say(memory_format: torch.memory_format) -> None:
    architecture = ConvArchitecture(
        (
            ConvLayer(3, 2, 3, stride_height=2),
            ConvLayer(4, 5, 2, stride_width=3),
            ConvLayer(2, 4, 4, 1, 2, inputs=(1, 2)),
            ConvLayer(1, 3, 2, inputs=(2,)),
            ConvLayer(7, 6, 3, 3, 2, inputs=(1, 3)),
        )
    )
    torch.manual_seed(0)
    network = ConvNetwork(architecture, (2, 7, 10), outputs=4).double().eval()
    image = torch.rand(2, 7, 10, dtype=torch.float64)
    maps = [image]
    for layer, sources in zip(network.layers, [(0,), (0,), (1, 2), (2,), (1, 3)], strict=True):
        assert isinstance(layer, nn.Sequential)
        *_, convolution, normalise, relu = layer  # padding first, where it is uneven
        assert isinstance(convolution, nn.Conv2d)
        for tensor in normalise.state_dict().values():  # so that it changes something
            tensor.copy_(torch.rand(tensor.shape) + 0.5)
        joined = reference_join([maps[source] for source in sources])
        maps.append(relu(normalise(reference_convolution(joined, convolution)[None]))[0])
    sizes = [tuple(each.shape[1:]) for each in maps]
    assert sizes == [(7, 10), (4, 10), (7, 4), (7, 5), (7, 4), (3, 5)]
    expected = network.classifier(reference_join([maps[4], maps[5]]).mean((1, 2)))
    logits = network(image[None].contiguous(memory_format=memory_format))
    torch.testing.assert_close(logits[0], expected)


def test_the_seed_decides_the_weights() -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(seed)
        network = build(five_layers((), (1,), (1, 2)), (1, 8, 8))
        return torch.cat([parameter.flatten() for parameter in network.parameters()])

    assert weights(0).equal(weights(0))
    assert not weights(0).equal(weights(1))


def test_initial_weights_have_the_variance_of_he() -> None:
    network = build(ConvArchitecture((ConvLayer(3, 5, 64),)), (16, 8, 8))
    (weight,) = [parameter for parameter in network.parameters() if parameter.ndim == 4]
    assert weight.std().item() == pytest.approx((2 / (3 * 5 * 64)) ** 0.5, rel=0.02)


def test_images_of_another_shape_are_refused() -> None:
    network = build(zoo.NAS_V1, (1, 8, 8))
    with pytest.raises(ValueError, match=r"images of shape \(1, 8, 8\), not \(1, 9, 9\)"):
        network(torch.zeros(2, 1, 9, 9))


def test_build_names_what_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="cannot build a dict"):
        build({"kind": "conv", "layers": []})


def test_torch_is_imported_by_build_alone() -> None:
    script = (
        "import sys; from nasgym.networks import build, flops, parameters, zoo\n"
        "flops(zoo.NAS_V1), parameters(zoo.NAS_V1); assert 'torch' not in sys.modules\n"
        "build(zoo.NAS_V1); assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
