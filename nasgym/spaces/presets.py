"""Named convolutional spaces."""

from collections.abc import Mapping
from dataclasses import replace

from nasgym.spaces.conv import ConvSpace
from nasgym.spaces.layers import LAYER_TYPES

V3 = ConvSpace(max_layers=13, filters=(6, 12, 24, 36), block_layers=3, pools_after=(13, 24))
"""The third space of Zoph & Le 2017, section 4.1: at most 13 rows, which expand to 39 layers."""

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
"""Spaces by name. Zoph & Le 2017, section 4.1: "v1" without and "v2" with strides, "v3" with blocks
and pooling, "v3-40" with 40 more filters in each layer. Section 3.3: "layer-types", with a learning
rate. For 8x8 digits: "digits", and the small "digits-table", of which every network was trained."""
