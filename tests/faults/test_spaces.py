"""Random strings of every space: whatever an agent may write becomes a network that trains."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from nasgym import SearchSpace
from nasgym.networks import build, flops, parameters
from nasgym.networks.language_size import parameters as language_parameters
from nasgym.spaces import (
    LAYER_TYPES,
    PRESETS,
    ConvArchitecture,
    ConvSpace,
    NASBench201Space,
    NASBenchGraphSpace,
    NASBenchMacroSpace,
    RecurrentSpace,
    read,
)
from nasgym.spaces.plain import digest, plain
from nasgym.spaces.recurrent import ACTIVATIONS, COMBINATIONS
from tests.faults.table import Seen
from tests.faults.tiers import Scale
from tests.spaces import Stack

SHAPES = ((1, 8, 8), (3, 9, 9), (1, 28, 28), (3, 32, 32), (1, 1, 1), (2, 5, 12), (1, 11, 3))

FEW_FILTERS: dict[str, Any] = {"filters": (1, 3, 5)}
"""What trains fast; the number of filters changes nothing else."""

CONVOLUTIONS: dict[str, ConvSpace] = {
    "v1": ConvSpace(**FEW_FILTERS),
    "strides": ConvSpace(strides=(1, 2, 3), **FEW_FILTERS),
    "chain": ConvSpace(skip_connections=False, strides=(1, 4), **FEW_FILTERS),
    "odd filters": ConvSpace(filter_heights=(1, 2, 6, 9), filter_widths=(2, 5, 11), **FEW_FILTERS),
    "layer types": ConvSpace(
        layer_types=tuple(LAYER_TYPES),
        layer_options={"pool_size": (2, 3, 5), "pool_stride": (1, 2, 3)},
        learning_rates=(0.05, 0.1),
        strides=(1, 2),
        **FEW_FILTERS,
    ),
    "blocks": ConvSpace(block_layers=2, pools_after=(2, 5), extra_filters=1, **FEW_FILTERS),
}
CELLS: dict[str, RecurrentSpace] = {
    f"cells of base {base}": RecurrentSpace(
        base, combinations=COMBINATIONS, activations=ACTIVATIONS
    )
    for base in (1, 2, 3, 5, 8)
}
TABLES: dict[str, SearchSpace] = {
    "nas-bench-201": NASBench201Space(),
    "nas-bench-macro": NASBenchMacroSpace(),
    "nas-bench-graph": NASBenchGraphSpace(),
    "stack": Stack(),
    **PRESETS,
}


def assert_goes_round(space: SearchSpace, tokens: tuple[int, ...], architecture: Any) -> None:
    """The string of a network means the same network, and so does its plain form."""
    again = space.encode(architecture)
    assert space.contains(again)
    assert space.decode(again) == architecture
    assert space.string(space.index(tokens)) == tokens
    canonical = space.canonical(architecture)
    assert digest(space.canonical(canonical)) == digest(canonical)
    if not isinstance(architecture, list):
        assert read(plain(architecture)) == architecture


def assert_trains(network: torch.nn.Module, loss: Tensor) -> None:
    assert loss.isfinite()
    gradients = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
    assert all(gradient is None or bool(gradient.isfinite().all()) for gradient in gradients)


def try_convolutions(
    architecture: ConvArchitecture, rng: np.random.Generator, *, counted: bool
) -> None:
    shape, outputs = SHAPES[rng.integers(len(SHAPES))], int(rng.integers(1, 5))
    # Single precision is what is used, but compiles a kernel for each shape: 3 times slower.
    precision = torch.float32 if rng.random() < 0.25 else torch.float64
    network = build(architecture, shape, outputs).to(precision)
    sizes = [weight.numel() for weight in network.parameters()]
    assert sum(sizes) == parameters(architecture, shape, outputs)
    images = torch.rand(2, *shape, dtype=precision)
    if counted:
        with FlopCounterMode(display=False) as counter:
            network.eval()(images[:1])
        assert counter.get_total_flops() == flops(architecture, shape, outputs)
    logits = network.train()(images)
    assert logits.shape == (2, outputs)
    assert_trains(network, cross_entropy(logits, torch.tensor([0, outputs - 1])))


def try_cell(architecture: Any, rng: np.random.Generator, *, counted: bool) -> None:
    vocabulary, hidden = int(rng.integers(2, 12)), int(rng.integers(1, 9))
    shared = bool(rng.random() < 0.5)
    sizes: dict[str, Any] = {"layers": int(rng.integers(1, 4)), "shared_embeddings": shared}
    network = build(architecture, vocabulary, hidden, **sizes)
    weights = sum(weight.numel() for weight in network.parameters())
    assert weights == language_parameters(architecture, vocabulary, hidden, **sizes)
    tokens = torch.randint(vocabulary, (4, 2))
    logits, _ = network(tokens)
    assert logits.shape == (4, 2, vocabulary)
    assert_trains(network, cross_entropy(logits.flatten(0, 1), tokens.flatten()))


Try = Callable[..., None]


@pytest.mark.fault("F27", "random strings of every space, decoded, encoded, built and trained")
def test_f27_every_string_becomes_a_network_that_trains_at_the_predicted_size(
    seed: int, scale: Scale, seen: Seen
) -> None:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    count, deepest = scale(500, 5000), scale(8, 20)
    built = [*CONVOLUTIONS.items(), *CELLS.items()]
    for number in range(count):
        name, space = built[number % len(built)]
        if isinstance(space, ConvSpace):
            layers = int(rng.integers(1, deepest + 1)) if number % 4 else int(rng.integers(1, 4))
            space = space.with_layers(layers)
        tokens = space.sample(rng)
        architecture = space.decode(tokens)
        attempt: Try = try_convolutions if isinstance(space, ConvSpace) else try_cell
        try:
            assert_goes_round(space, tokens, architecture)
            attempt(architecture, rng, counted=number % 5 == 0)
        except Exception as error:
            raise AssertionError(f"string {number}, of {name}: {tokens}") from error
    for other in TABLES.values():
        for _ in range(count // 50):
            tokens = other.sample(rng)
            assert_goes_round(other, tokens, other.decode(tokens))
    strings = count + len(TABLES) * (count // 50)
    seen(strings, f"{count:,} built and trained, all {strings:,} read back; 0 wrong sizes")
