"""Language training: the loop that trains a model of text, and the job around it.

The text is cut into as many pieces as are read at the same time. Each is read from its beginning
to its end, `unroll` tokens a step, and what the model remembers is carried from step to step.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from math import exp, isfinite, log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgym.data import TextData, load_text
from nasgym.data.packed import unpack_text
from nasgym.evaluation.evaluation import Evaluation
from nasgym.networks.language import LanguageModel, State
from nasgym.networks.language_size import Cell, hidden_for
from nasgym.spaces import LSTMArchitecture, read
from nasgym.training.determinism import child_seed, device_of, settle
from nasgym.training.latency import latency
from nasgym.training.text.recipe import LanguageRecipe

UNKNOWN = -100
"""The target of what is not to be predicted; torch leaves it out of the loss."""

VALID_PIECES = 20
"""Pieces of the validation text that are read at the same time."""

WARM_UP_STRETCHES = 2
"""A piece of validation text is begun so many stretches early, without being judged, so that what
the model remembers where the judging starts is what it would have carried there."""

DIVERGED = 2.0
"""Nats by which a mean loss may exceed that of guessing before the training is given up."""

WATCHED = 50
"""Steps over which it is averaged."""

UNSEEN = 0.5
"""How often a token is taken to have been seen beside the times that it was."""

MOST_NATS = 700.0
"""The exponential of more is no number."""


@dataclass(frozen=True, eq=False)
class Texts:
    """A text prepared for a recipe, on one device."""

    train: Tensor
    """(time, batch): the pieces of the training text side by side."""
    valid: Tensor
    """(m,)"""
    frequencies: Tensor
    """(vocabulary,): the share of each token in the training text, never quite 0."""
    unroll: int
    """Tokens a step."""
    precision: torch.dtype
    """What matrices are multiplied in."""

    @property
    def vocabulary(self) -> int:
        """Return the number of different tokens."""
        return len(self.frequencies)

    @property
    def steps(self) -> int:
        """Return the number of steps in an epoch."""
        return (len(self.train) - 1) // self.unroll

    def to(self, device: torch.device) -> "Texts":
        """Return the same on `device`."""
        return replace(self, train=self.train.to(device), valid=self.valid.to(device))

    def stretches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (tokens, the tokens after them), (unroll, batch) each; what is left over is not."""
        for step in range(self.steps):
            start, end = step * self.unroll, (step + 1) * self.unroll
            yield self.train[start:end], self.train[start + 1 : end + 1]


def prepare(data: TextData, recipe: LanguageRecipe, dtype: torch.dtype) -> Texts:
    """Return `data` prepared for `recipe` in main memory, to be multiplied as `dtype`.

    Raises ValueError, in one line, if the training text is too short for one step.
    """
    train = torch.from_numpy(data.train).long()
    rows = len(train) // recipe.batch_size
    if rows <= recipe.unroll:
        raise ValueError(
            f"a training text of {len(train):,} tokens is too short: a step takes "
            f"{recipe.batch_size} pieces of {recipe.unroll + 1}"
        )
    pieces = train[: rows * recipe.batch_size].view(recipe.batch_size, rows)
    counts = torch.bincount(train, minlength=len(data.vocabulary)) + UNSEEN
    valid = torch.from_numpy(data.valid).long()
    return Texts(pieces.t().contiguous(), valid, counts / counts.sum(), recipe.unroll, dtype)


class LanguageModelling:
    """The training of a language model under way, epoch by epoch."""

    def __init__(
        self, model: LanguageModel, texts: Texts, recipe: LanguageRecipe, seed: int
    ) -> None:
        """Begin; `seed` decides what dropout leaves out."""
        self.model, self.texts, self.recipe, self.seed = model, texts, recipe, seed
        self.optimizer = _optimizer(model, recipe)
        self.curve: list[dict[str, float]] = []
        """For each epoch its training "loss" in nats a token and, if it was validated,
        "perplexity", "nll" and "accuracy"."""
        self.diverged = ""
        """Why the training was given up; empty if it was not."""

    @property
    def finished(self) -> bool:
        """Return whether there is nothing more to train."""
        return len(self.curve) == self.recipe.epochs or bool(self.diverged)

    def advance(self) -> None:
        """Train for an epoch."""
        epoch = len(self.curve) + 1
        with torch.random.fork_rng(_gpus(self.texts.train.device)):
            torch.manual_seed(self.seed + epoch)
            point = {"epoch": epoch, "loss": self._train_epoch(epoch)}
        if not self.diverged and epoch > self.recipe.epochs - self.recipe.judged_epochs:
            point |= validate(self.model, self.texts)
            if not isfinite(point["nll"]):
                self.diverged = f"the validation loss was {point['nll']} in epoch {epoch}"
        self.curve.append(point)

    def _train_epoch(self, epoch: int) -> float:
        """Return the mean training loss."""
        self.model.train()
        watch = 1 if self.texts.train.device.type == "cpu" else WATCHED  # a GPU is waited for
        rates = islice(self.recipe.rates(self.texts.steps), (epoch - 1) * self.texts.steps, None)
        state: State | None = None
        # One tensor for all: a small one kept of each step keeps malloc from using again what lies
        # below it, and a training of 900,000 words would take 20 GiB.
        losses = torch.zeros(self.texts.steps, device=self.texts.train.device)
        for step, (tokens, following) in enumerate(self.texts.stretches(), start=1):
            self.optimizer.param_groups[0]["lr"] = next(rates)
            losses[step - 1], state = self._step(tokens, following, state)
            if step % watch == 0 and self._is_lost(losses[max(0, step - WATCHED) : step]):
                loss = losses[step - 1].item()
                self.diverged = f"the loss was {loss:.3g} in epoch {epoch}, step {step}"
                break
        return losses[:step].mean().item()

    def _is_lost(self, recent: Tensor) -> bool:
        """Return whether the last losses, WATCHED of them or fewer, say to give up."""
        mean = recent.mean().item()
        above = mean > log(self.texts.vocabulary) + DIVERGED
        return not isfinite(mean) or (above and len(recent) == WATCHED)

    def _step(self, tokens: Tensor, following: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Take one step; return the loss before it and the state after the tokens."""
        logits, (h, c) = _logits(self.model, tokens, state, self.texts.precision)
        loss = F.cross_entropy(logits.flatten(0, 1), following.flatten())
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip, foreach=True)
        self.optimizer.step()
        return loss.detach(), (h.detach(), c.detach())

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs to go on."""
        return {
            "network": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curve": self.curve,
            "diverged": self.diverged,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        self.model.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.curve = list(state["curve"])
        self.diverged = state["diverged"]


def train(model: LanguageModel, texts: Texts, recipe: LanguageRecipe, seed: int) -> Evaluation:
    """Train `model` in place and return how well it predicts the validation text.

    `seed` decides what dropout leaves out. The accuracy is the share of tokens predicted right.
    The metrics are "perplexity" and "nll", in nats a token; "curve", see `LanguageModelling`;
    "samples", the tokens trained on. A loss that is not finite, or stays far above that of
    guessing, ends the training at once with status "nan" and the reason.
    """
    started = time.monotonic()
    training = LanguageModelling(model, texts, recipe, seed)
    while not training.finished:
        training.advance()
    seconds = time.monotonic() - started
    if training.diverged:
        return Evaluation(status="nan", error=training.diverged, seconds=seconds)
    best = min(training.curve[-recipe.judged_epochs :], key=lambda point: point["nll"])
    metrics = {
        "perplexity": best["perplexity"],
        "nll": best["nll"],
        "curve": training.curve,
        "samples": recipe.epochs * texts.steps * texts.unroll * recipe.batch_size,
    }
    return Evaluation(best["accuracy"], seconds=seconds, metrics=metrics)


@torch.inference_mode()
def validate(model: LanguageModel, texts: Texts, pieces: int = VALID_PIECES) -> dict[str, float]:
    """Return how well `model` predicts each token of the validation text from all before it.

    That is "nll", the mean negative log likelihood in nats, "perplexity", its exponential, and
    "accuracy", the share predicted right. The state is carried over the whole text; with several
    `pieces`, read side by side, it is carried into each from some tokens before.
    """
    model.eval()
    inputs, targets = _pieces(texts.valid, pieces, WARM_UP_STRETCHES * texts.unroll)
    loss = torch.zeros((), dtype=torch.float64, device=inputs.device)
    hits = torch.zeros((), dtype=torch.long, device=inputs.device)
    state: State | None = None
    for tokens, following in zip(
        torch.split(inputs, texts.unroll), torch.split(targets, texts.unroll), strict=True
    ):
        logits, state = _logits(model, tokens, state, texts.precision)
        loss += F.cross_entropy(logits.flatten(0, 1), following.flatten(), reduction="sum")
        hits += (logits.argmax(2) == following).sum()
    predicted = len(texts.valid) - 1
    nll = loss.item() / predicted
    perplexity = exp(min(nll, MOST_NATS))
    return {"perplexity": perplexity, "nll": nll, "accuracy": hits.item() / predicted}


def _logits(
    model: LanguageModel, tokens: Tensor, state: State | None, precision: torch.dtype
) -> tuple[Tensor, State]:
    """Return the logits in single precision, computed in `precision`, and the state after."""
    reduced = precision != torch.float32
    with torch.autocast(tokens.device.type, precision if reduced else None, enabled=reduced):
        logits, state = model(tokens, state)
    return logits.float(), state


def _pieces(tokens: Tensor, pieces: int, warm_up: int) -> tuple[Tensor, Tensor]:
    """Return what is read and what is to be predicted, (time, pieces) both.

    Every token but the first is predicted once. A piece begins `warm_up` tokens before the first
    that it is judged by, or at the beginning of the text.
    """
    predicted = len(tokens) - 1
    length = -(-predicted // pieces)
    judged_from = length * torch.arange(pieces)
    begin = (judged_from - warm_up).clamp(min=0)
    places = begin + torch.arange(length + (warm_up if pieces > 1 else 0))[:, None]
    judged = (places >= judged_from) & (places < (judged_from + length).clamp(max=predicted))
    places = places.clamp(max=predicted - 1).to(tokens.device)
    targets = torch.where(judged.to(tokens.device), tokens[places + 1], UNKNOWN)
    return tokens[places], targets


def model_of(architecture: Cell, texts: Texts, recipe: LanguageRecipe, seed: int) -> LanguageModel:
    """Return the model of `recipe` around a cell for `texts`, its weights drawn by `seed`."""
    sizes: dict[str, Any] = {
        "layers": recipe.layers,
        "shared_embeddings": recipe.shared_embeddings,
    }
    hidden = hidden_for(recipe.parameters, architecture, texts.vocabulary, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = LanguageModel(
            architecture,
            texts.vocabulary,
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
            model.decoder.bias.copy_(texts.frequencies.log())
    return model


def job(settings: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Load the text and warm up once; return what trains the child of one task.

    `settings` are "corpus" and "corpus_options" for `nasgym.data.load_text`, or "packed", the path
    of a file that `nasgym.data.packed.pack` made; "recipe" (the fields of a `LanguageRecipe`),
    "seed", "device", "precision" and perhaps "latency" (whether to measure the seconds that a
    trained model takes for the next token); tasks and outcomes are those of
    `nasgym.training.image.loop.job`.
    """
    settle()
    if "packed" in settings:
        data = unpack_text(settings["packed"])
    else:
        data = load_text(settings["corpus"], **settings["corpus_options"])
    recipe = LanguageRecipe(**settings["recipe"])
    texts = prepare(data, recipe, getattr(torch, settings["precision"]))
    _warm_up(texts, recipe)

    def run(task: Mapping[str, Any]) -> dict[str, Any]:
        seed = child_seed(settings["seed"], task["architecture"])
        try:
            model = model_of(read(task["architecture"]), texts, recipe, seed)
        except (ValueError, TypeError, AttributeError) as error:
            return Evaluation(status="invalid", error=str(error)).to_plain()
        device = device_of(settings["device"], task.get("slot", 0))
        evaluation = train(model.to(device), texts.to(device), recipe, seed)
        costs: dict[str, float] = {"parameters": sum(each.numel() for each in model.parameters())}
        if settings.get("latency", False) and evaluation.status == "ok":
            costs["latency"] = _latency(model, texts.to(device))
        return replace(evaluation, metrics={**evaluation.metrics, **costs}).to_plain()

    return run


def _latency(model: LanguageModel, texts: Texts) -> float:
    """Return the seconds that `model` takes from one token of one text to the next."""
    token = texts.valid[:1, None]
    _, state = _logits(model, token, None, texts.precision)
    return latency(lambda: _logits(model, token, state, texts.precision), token.device)


def _optimizer(model: LanguageModel, recipe: LanguageRecipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), recipe.learning_rate, fused=True)
    return torch.optim.SGD(model.parameters(), recipe.learning_rate, fused=True)


def _gpus(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _warm_up(texts: Texts, recipe: LanguageRecipe) -> None:
    """Train one step, so that no child pays for what a process does only once.

    The first optimizer alone imports torch._dynamo for 0.8 s. Where there is a GPU, autograd would
    start threads for it, which no fork survives, so only the optimizer is made.
    """
    model = model_of(LSTMArchitecture(), texts, recipe, seed=0)
    if torch.cuda.is_available():
        _optimizer(model, recipe)
        return
    short = replace(texts, train=texts.train[: 2 * texts.unroll], valid=texts.valid[:2])
    train(model, short, replace(recipe, epochs=1), seed=0)
