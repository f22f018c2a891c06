"""Drawings show every layer and every connection, at any depth."""

import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch, Rectangle

from nasgym import drawing
from nasgym.networks import zoo
from nasgym.networks.wiring import connections
from nasgym.spaces import (
    PRESETS,
    BatchNormLayer,
    ConvArchitecture,
    ConvLayer,
    ConvSpace,
    MaxPoolLayer,
)
from nasgym.spaces.layers import layer_type

SMALL = ConvArchitecture(
    (
        ConvLayer(3, 5, 24, stride_height=2, stride_width=2),
        ConvLayer(1, 1, 36, inputs=(1,)),
        ConvLayer(7, 3, 48, stride_height=3),
        ConvLayer(5, 5, 64, inputs=(1, 3)),
    )
)


def sampled(layers: int) -> ConvArchitecture:
    space = ConvSpace(layers=layers, strides=(1, 2, 3))
    return space.decode(space.sample(np.random.default_rng(layers)))


def sampled_from(preset: str) -> ConvArchitecture:
    space = PRESETS[preset].with_layers(PRESETS[preset].max_layers)
    return space.decode(space.sample(np.random.default_rng(0)))


TYPED, V3 = sampled_from("layer-types"), sampled_from("v3")


def edges(architecture: ConvArchitecture) -> set[tuple[int, int]]:
    rows = enumerate(connections(architecture), start=1)
    return {(source, row) for row, sources in rows for source in sources}


def test_text_is_a_line_a_layer_and_a_column_an_output() -> None:
    assert drawing.text(SMALL).splitlines() == [
        "layer       filter  filters  stride    reads",
        "image                                  ╮ image",
        "1            3 × 5       24       2    ●─╮ 1",
        "2            1 × 1       36            │ ●─╮ 2",
        "3            7 × 3       48   3 × 1    ●─│─│─╮ 3",
        "4            5 × 5       64              ●─│─●─╮ 4",
        "classifier                                 ●───●─▶ classifier",
    ]


def test_text_tells_no_strides_where_there_are_none() -> None:
    assert "stride" not in drawing.text(zoo.NAS_V1)


def test_text_tells_layer_types_and_the_learning_rate() -> None:
    layers = (ConvLayer(3, 5, 24), MaxPoolLayer(2, 3, inputs=(1,)), BatchNormLayer())
    assert drawing.text(ConvArchitecture(layers, 0.05)).splitlines() == [
        "layer       type        filter  filters  stride    reads",
        "image                                              ╮ image",
        "1           conv         3 × 5       24            ●─╮ 1",
        "2           max pool     2 × 2                3    │ ●─╮ 2",
        "3           batch norm                             ●───│─╮ 3",
        "classifier                                             ●─●─▶ classifier",
        "learning rate 0.05",
    ]


@pytest.mark.parametrize(
    "architecture", [SMALL, zoo.NAS_V1, zoo.NAS_V1_DENSE, sampled(20), TYPED, V3]
)
def test_text_shows_each_connection_once(architecture: ConvArchitecture) -> None:
    lines = drawing.text(architecture).splitlines()
    start = lines[0].index("reads")
    dots = {
        (column // 2, row)
        for row, line in enumerate(lines[1:])
        for column, character in enumerate(line[start:])
        if character == "●"
    }
    assert dots == edges(architecture)


@pytest.mark.parametrize(
    "architecture",
    [SMALL, sampled(1), sampled(6), zoo.NAS_V1, zoo.NAS_V1_CHAIN, sampled(20), TYPED, V3],
)
def test_figure_shows_each_layer_and_each_connection(architecture: ConvArchitecture) -> None:
    (axes,) = drawing.figure(architecture).axes
    arrows = [patch.get_gid() for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert sorted(map(str, arrows)) == sorted(f"{a}-{b}" for a, b in edges(architecture))

    shapes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    shown = [layer.operation(1).window for layer in architecture.layers if layer.hyper_parameters]
    for shape, (rows, columns) in zip(shapes, shown, strict=True):
        assert shape.get_height() / shape.get_width() == pytest.approx(rows / columns)
    words = [label.get_text() for label in axes.texts]
    for number, layer in enumerate(architecture.layers, start=1):
        assert str(number) in words
        if isinstance(layer, ConvLayer):
            assert f"{layer.filter_height} × {layer.filter_width}" in words
            assert f"{layer.filters} filters" in words
        else:
            assert layer_type(layer).replace("_", " ") in words
    assert f"learning rate {architecture.learning_rate}" in words or not architecture.learning_rate


@pytest.mark.parametrize(
    ("architecture", "title"),
    [
        (sampled(20), None),
        (sampled(20), "nas-v1: 0.945"),
        (sampled(20), "a title that is wider than the network"),
        (TYPED, "layer types"),
    ],
)
def test_figure_hides_nothing(architecture: ConvArchitecture, title: str | None) -> None:
    figure = drawing.figure(architecture, title)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    labels = [label.get_window_extent() for label in axes.texts if label.get_text()]
    assert labels
    for box in [*labels, *(patch.get_window_extent() for patch in axes.patches)]:
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    for patch in axes.patches:
        if isinstance(patch, FancyArrowPatch):
            assert not any(patch.get_window_extent().overlaps(label) for label in labels)
    for one, other in combinations(labels, 2):
        assert not one.overlaps(other)


def test_rgb_is_the_figure_in_pixels() -> None:
    pixels = drawing.rgb(SMALL)
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert (pixels[0] == 255).all()
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
    np.testing.assert_array_equal(pixels, drawing.rgb(SMALL))


def test_anything_else_is_drawn_as_json() -> None:
    architecture = {"op": "größer", "price": "$x$", "inputs": [1]}
    words = drawing.text(architecture)
    assert words.splitlines()[1] == '  "op": "größer",'
    (axes,) = drawing.figure(architecture, "Mine").axes
    assert [label.get_text() for label in axes.texts] == ["Mine", words]
    assert (drawing.rgb(architecture) < 128).any()


def test_drawing_needs_neither_pyplot_nor_torch() -> None:
    script = (
        "import sys; from nasgym import drawing; from nasgym.networks import zoo\n"
        "drawing.text(zoo.NAS_V1); assert 'matplotlib' not in sys.modules\n"
        "drawing.rgb(zoo.NAS_V1); assert not {'matplotlib.pyplot', 'torch'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
