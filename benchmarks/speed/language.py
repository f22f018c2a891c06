"""The speed of training language models around recurrent cells."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgym.benchmarks.measurement import Effort, Measurement, least_times
from nasgym.benchmarks.speed import naive_cell
from nasgym.execution.machine import precision
from nasgym.networks import zoo
from nasgym.networks.language import LanguageModel

PRECISION = precision("cpu")
DTYPE: torch.dtype = getattr(torch, PRECISION)

TARGET = {"bfloat16": 2.2, "float32": 1.75}[PRECISION]
"""Target ratio to the naive model, which always computes in float32."""

BATCH_SIZE, UNROLL = 20, 35
"""Sequences read in parallel, and tokens of each per step."""


def language_model(effort: Effort) -> Measurement:
    """Train a language model around the cell that the paper's search found."""
    ours, baseline, lstm = _tokens_a_second(2_000, 100, effort)
    more, more_baseline, more_lstm = _tokens_a_second(10_000, 200, effort)
    return Measurement(
        "language model around NASCell, hidden 100, vocabulary 2,000",
        ours,
        baseline,
        "tokens/s",
        TARGET,
        note=f"ours in {PRECISION}, naive in float32; {ours / lstm:.2f} times the tokens/s "
        f"of torch.nn.LSTM of the same size; hidden 200, vocabulary 10,000: {more:,.0f} tokens/s, "
        f"{more / more_baseline:.2f}x, {more / more_lstm:.2f} times torch.nn.LSTM",
    )


def _tokens_a_second(vocabulary: int, hidden: int, effort: Effort) -> list[float]:
    """Return the speed of our model, of the naive one, and of one around torch.nn.LSTM."""
    fast, slow = models(vocabulary, hidden)
    lstm = naive_cell.LanguageModel(nn.LSTM(hidden, hidden), vocabulary, hidden)
    text = random_text(vocabulary)
    steps = effort.part(3)
    times = least_times(
        partial(_train, fast, text, steps, DTYPE),
        partial(_train, slow, text, steps),
        partial(_train, lstm, text, steps),
        effort=effort,
    )
    return [steps * UNROLL * BATCH_SIZE / time for time in times]


def models(vocabulary: int, hidden: int) -> tuple[LanguageModel, naive_cell.LanguageModel]:
    """Return our model around the cell, and the naive one with the same weights."""
    fast = LanguageModel(zoo.NAS_CELL, vocabulary, hidden, layers=1)
    tree = naive_cell.NaiveCell(zoo.NAS_CELL, hidden)
    slow = naive_cell.LanguageModel(tree, vocabulary, hidden)
    slow.embedding.load_state_dict(fast.embedding.state_dict())
    slow.decoder.load_state_dict(fast.decoder.state_dict())
    weights = fast.recurrent.cells[0].state_dict()
    for layers, name in ((tree.of_input, "weight_ih"), (tree.of_h, "weight_hh")):
        for layer, block in zip(layers, weights[name].chunk(len(layers)), strict=True):
            layer.load_state_dict({"weight": block})
    return fast, slow


def random_text(vocabulary: int) -> tuple[Tensor, Tensor]:
    """Return the random tokens of one step and the tokens that follow them, both (time, n)."""
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(vocabulary, (UNROLL + 1, BATCH_SIZE), generator=generator)
    return text[:-1], text[1:]


def _train(
    model: nn.Module, text: tuple[Tensor, Tensor], steps: int, dtype: torch.dtype = torch.float32
) -> None:
    """Train for `steps` steps on the same text."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(loss(model, text, dtype))
        optimizer.step()


def loss(model: nn.Module, text: tuple[Tensor, Tensor], dtype: torch.dtype) -> Tensor:
    """Return the mean loss of `model` on `text`, with matrix products in `dtype`."""
    tokens, following = text
    reduced = dtype != torch.float32
    with torch.autocast("cpu", dtype if reduced else None, enabled=reduced):
        logits, _ = model(tokens)
    return F.cross_entropy(logits.float().flatten(0, 1), following.flatten())
