"""The loop that trains a language model, by backpropagation through time with a carried state.

Its speed is that of the model: with `nasgym.networks.unrolling` a model around the NAS cell trains
1.61 to 1.74 times as fast as with one module per node of the cell (five runs on one core of an AMD
EPYC with AVX2, float32, hidden size 100, vocabulary 2,000; docs/measurements.md, P11). The loop
itself copies no text and, on a GPU, waits for the loss only every WATCHED steps.
"""

from collections.abc import Mapping
from itertools import islice
from math import exp, isfinite, log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgym.evaluation.evaluation import Evaluation
from nasgym.networks.language import LanguageModel, State
from nasgym.networks.language_size import Cell, hidden_for
from nasgym.training.base import Training
from nasgym.training.text.batches import TextBatches
from nasgym.training.text.recipe import TextRecipe

WATCHED = 50
"""Steps whose mean loss tells whether a training diverged; also the steps between two checks on a
GPU, where each check waits for all queued work."""

DIVERGENCE_MARGIN = 2.0
"""Nats by which the mean loss of WATCHED steps may exceed the loss of uniform guessing."""

VALID_COLUMNS = 20
"""Columns that the validation text is cut into."""

MAX_NATS = 700.0
"""A larger negative log likelihood is cut to this, since its exponential overflows."""


class TextTraining(Training):
    """The training of a language model."""

    network: LanguageModel
    recipe: TextRecipe

    def __init__(
        self, network: LanguageModel, batches: TextBatches, recipe: TextRecipe, seed: int
    ) -> None:
        """Prepare to train `network`; `seed` decides the dropout masks."""
        super().__init__(network, _optimizer(network, recipe), recipe, batches.samples)
        self.batches, self.seed = batches, seed

    def advance(self) -> None:
        """Train for one epoch; validate if it is one of the judged epochs."""
        epoch = len(self.curve) + 1
        gpus = [self.batches.device] if self.batches.device.type == "cuda" else []
        with torch.random.fork_rng(gpus):
            torch.manual_seed(self.seed + epoch)
            point = {"epoch": epoch, "loss": self._train_epoch(epoch)}
        if not self.diverged and epoch > self.recipe.epochs - self.recipe.judged_epochs:
            point |= validate(self.network, self.batches)
            if not isfinite(point["nll"]):
                self.diverged = f"the validation loss was {point['nll']} in epoch {epoch}"
        self.curve.append(point)

    def _train_epoch(self, epoch: int) -> float:
        """Return the mean training loss; stop as soon as the training diverges."""
        self.network.train()
        device, steps = self.batches.device, self.batches.steps
        rates = islice(self.recipe.rates(steps), (epoch - 1) * steps, None)
        interval = 1 if device.type == "cpu" else WATCHED
        state: State | None = None
        # One tensor holds all losses. A small tensor kept from each step would stop malloc from
        # reusing the memory below it, and training on 900,000 words would take 20 GiB.
        losses = torch.zeros(steps, device=device)
        for step, (tokens, following) in enumerate(self.batches.training(), start=1):
            self.optimizer.param_groups[0]["lr"] = next(rates)
            losses[step - 1], state = self.step(tokens, following, state)
            if step % interval == 0 and self._has_diverged(losses[max(0, step - WATCHED) : step]):
                loss = losses[step - 1].item()
                self.diverged = f"the loss was {loss:.3g} in epoch {epoch}, step {step}"
                break
        return losses[:step].mean().item()

    def step(self, tokens: Tensor, following: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Take one optimizer step; return the loss before it and the state after the tokens."""
        logits, (h, c) = forward(self.network, tokens, state, self.batches.precision)
        loss = F.cross_entropy(logits.flatten(0, 1), following.flatten())
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip, foreach=True)
        self.optimizer.step()
        return loss.detach(), (h.detach(), c.detach())

    def _has_diverged(self, recent: Tensor) -> bool:
        """Return whether the last losses, at most WATCHED, are not finite or stay too high."""
        mean = recent.mean().item()
        too_high = mean > log(self.batches.vocabulary) + DIVERGENCE_MARGIN
        return not isfinite(mean) or (too_high and len(recent) == WATCHED)

    @staticmethod
    def rank(validation: Mapping[str, float]) -> float:
        """Return the negated "nll": the lowest perplexity ranks highest."""
        return -validation["nll"]


def train(
    network: LanguageModel, batches: TextBatches, recipe: TextRecipe, seed: int
) -> Evaluation:
    """Train `network` in place and return how well it predicts the validation text.

    `seed` decides the dropout masks. For the metrics and the statuses see `Training.run` and
    `validate`. A loss that is not finite, or stays far above uniform guessing, stops the training.
    """
    return TextTraining(network, batches, recipe, seed).run()


@torch.inference_mode()
def validate(
    network: LanguageModel, batches: TextBatches, columns: int = VALID_COLUMNS
) -> dict[str, float]:
    """Return "perplexity", "nll" and "accuracy" of `network` on the validation text.

    "nll" is the mean negative log likelihood in nats of each token, given all tokens before it;
    "perplexity" its exponential; "accuracy" the fraction of tokens predicted right. With a single
    column the state carries over the whole text; with several see `TextBatches.validation`.
    """
    network.eval()
    loss = torch.zeros((), dtype=torch.float64, device=batches.device)
    hits = torch.zeros((), dtype=torch.long, device=batches.device)
    state: State | None = None
    for tokens, targets in batches.validation(columns):
        logits, state = forward(network, tokens, state, batches.precision)
        loss += F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        hits += (logits.argmax(2) == targets).sum()
    predicted = len(batches.valid) - 1
    nll = loss.item() / predicted
    perplexity = exp(min(nll, MAX_NATS))
    return {"perplexity": perplexity, "nll": nll, "accuracy": hits.item() / predicted}


def forward(
    network: LanguageModel, tokens: Tensor, state: State | None, precision: torch.dtype
) -> tuple[Tensor, State]:
    """Return the logits in single precision, computed in `precision`, and the state after."""
    reduced = precision != torch.float32
    with torch.autocast(tokens.device.type, precision if reduced else None, enabled=reduced):
        logits, state = network(tokens, state)
    return logits.float(), state


def initial_network(
    architecture: Cell, batches: TextBatches, recipe: TextRecipe, seed: int
) -> LanguageModel:
    """Return the language model of `recipe` around a cell, with weights drawn by `seed`.

    Raises ValueError, TypeError or AttributeError for a cell that cannot be built.
    """
    sizes: dict[str, Any] = {
        "layers": recipe.layers,
        "shared_embeddings": recipe.shared_embeddings,
    }
    hidden = hidden_for(recipe.parameters, architecture, batches.vocabulary, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = LanguageModel(
            architecture,
            batches.vocabulary,
            hidden,
            dropout=recipe.dropout,
            embedding_dropout=recipe.embedding_dropout,
            recurrent_dropout=recipe.recurrent_dropout,
            init=recipe.init,
            embedding_init=recipe.embedding_init,
            **sizes,
        )
    if recipe.frequency_bias:
        with torch.no_grad():
            network.decoder.bias.copy_(batches.frequencies.log())
    return network


def _optimizer(network: LanguageModel, recipe: TextRecipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        return torch.optim.Adam(network.parameters(), recipe.learning_rate, fused=True)
    return torch.optim.SGD(network.parameters(), recipe.learning_rate, fused=True)
