"""The convolutional spaces that have a name."""

from collections.abc import Mapping
from dataclasses import replace

from nasgym.spaces.conv import ConvSpace
from nasgym.spaces.layers import LAYER_TYPES

V3 = ConvSpace(max_layers=13, filters=(6, 12, 24, 36), block_layers=3, pools_after=(13, 24))
"""The third space of Zoph & Le 2017, section 4.1: 13 rows at most, which become 39 layers."""

PRESETS: Mapping[str, ConvSpace] = {
    "v1": ConvSpace(),
    "v2": ConvSpace(strides=(1, 2, 3)),
    "v3": V3,
    "v3-40": replace(V3, extra_filters=40),
    "layer-types": ConvSpace(layer_types=tuple(LAYER_TYPES), learning_rates=(0.05, 0.1, 0.2)),
    "digits": ConvSpace(
        layers=4,
        max_layers=4,
        filter_heights=(1, 3, 5),
        filter_widths=(1, 3, 5),
        filters=(8, 16, 24, 32),
    ),
    "digits-table": ConvSpace(
        layers=3,
        max_layers=3,
        layer_types=("conv", "max_pool"),
        filter_heights=(1, 3),
        filter_widths=(1, 3),
        filters=(8, 24),
        layer_options={"pool_size": (2,), "pool_stride": (1, 2)},
    ),
}
"""Spaces by name: the paper's without and with strides to predict, its third of blocks and
pooling, the same with 40 filters more in each layer (section 4.1), one with all layer types and a
learning rate, one for 8x8 digits, and a small one for them that was trained exhaustively."""
