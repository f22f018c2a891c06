"""Text training and its models: size, dropout, carried state, equal bits, perplexity."""

import os
from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nasgym.data import TextData, load_text
from nasgym.evaluation.evaluation import Evaluation
from nasgym.evaluation.rewards import REWARDS
from nasgym.networks import build, zoo
from nasgym.networks.language import LanguageModel
from nasgym.networks.language_size import HIDDEN_STEP, check_target, hidden_for, parameters
from nasgym.spaces import LSTMArchitecture, Node, RecurrentArchitecture
from nasgym.training.text.batches import TextBatches, prepare
from nasgym.training.text.loop import TextTraining, initial_network, train, validate
from nasgym.training.text.recipe import TEXT_RECIPES, TextRecipe

CELL = RecurrentArchitecture(
    (Node("add", "tanh"), Node("elem_mult", "relu"), Node("elem_mult", "sigmoid")),
    Node("add", "relu"),
    cell_out=1,
    cell_in=0,
)
"""The example of Zoph & Le 2017, figure 5."""
LSTM = LSTMArchitecture()
QUICK = replace(
    TEXT_RECIPES["short"], parameters=4000, batch_size=4, unroll=10, epochs=2, dropout=0.2
)


def cycle(length: int, period: int = 5) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return a text in which each token determines the next one."""
    return (np.arange(length) % period).astype(np.int32)


def data(train: int = 2000, valid: int = 301) -> TextData:
    return TextData(cycle(train), cycle(valid), tuple("abcdefg"), "characters")


def batches(recipe: TextRecipe = QUICK, **sizes: int) -> TextBatches:
    return prepare(data(**sizes), recipe, torch.float32)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("architecture", [CELL, zoo.NAS_CELL, LSTM], ids=["base 2", "nas", "lstm"])
def test_parameters_are_those_of_the_model(architecture: Any, shared: bool) -> None:
    sizes: dict[str, Any] = {"layers": 3, "shared_embeddings": shared}
    model = build(architecture, 50, 12, **sizes)
    counted = sum(weight.numel() for weight in model.parameters())
    assert parameters(architecture, 50, 12, **sizes) == counted


@pytest.mark.parametrize("target", [300_000, 1_000_000, 20_000_000])
def test_the_hidden_size_comes_nearest_to_the_target(target: int) -> None:
    hidden = hidden_for(target, zoo.NAS_CELL, 10_000)
    distances = {
        size: abs(parameters(zoo.NAS_CELL, 10_000, size) - target)
        for size in range(HIDDEN_STEP, 1200, HIDDEN_STEP)
    }
    assert hidden == min(distances, key=lambda size: distances[size])


def test_the_paper_s_sizes() -> None:
    """Table 2 of Zoph & Le 2017: 32M, and 25M and 54M with shared embeddings."""
    cell = zoo.NAS_CELL
    assert abs(parameters(cell, 10_000, 740) - 32e6) < 5e5
    assert abs(parameters(cell, 10_000, 740, shared_embeddings=True) - 25e6) < 5e5
    assert abs(parameters(cell, 10_000, 1150, shared_embeddings=True) - 54e6) < 5e5


def test_a_target_that_cannot_be_met_is_refused() -> None:
    check_target(50_000, 10_000, shared_embeddings=False)
    with pytest.raises(ValueError, match="cannot be met"):
        check_target(30_000, 10_000, shared_embeddings=False)


def test_the_model_carries_its_state_and_predicts_only_from_before() -> None:
    torch.manual_seed(0)
    model = LanguageModel(zoo.NAS_CELL, 7, 8, init=0.5).eval()
    tokens = torch.from_numpy(cycle(30)).long()[:, None]
    whole, _ = model(tokens)
    first, state = model(tokens[:11])
    rest, _ = model(tokens[11:], state)
    assert torch.allclose(torch.cat([first, rest]), whole, atol=1e-6)
    changed = tokens.clone()
    changed[20:] = 0
    assert torch.equal(model(changed)[0][:20], whole[:20])


def test_whole_words_are_left_out_and_outputs_by_one_mask_for_all_steps() -> None:
    torch.manual_seed(0)
    model = LanguageModel(LSTM, 1000, 8, embedding_dropout=0.5, dropout=0.0)
    words = model._words(model.embedding.weight)
    gone = (words == 0).all(1)
    assert 400 < gone.sum() < 600
    assert torch.allclose(words[~gone], 2 * model.embedding.weight[~gone])
    assert model.eval()._words(model.embedding.weight) is model.embedding.weight


@pytest.mark.parametrize("columns", [1, 3, 20])
def test_every_token_but_the_first_is_judged_once(columns: int) -> None:
    """The oracle reads the text in one pass; more columns only lose the distant past."""
    recipe = replace(QUICK, dropout=0.0)
    prepared = batches(recipe, valid=301)
    model = initial_network(zoo.NAS_CELL, prepared, recipe, seed=0)
    train(model, prepared, recipe, seed=0)
    model.eval()
    with torch.no_grad():
        logits, _ = model(prepared.valid[:-1, None])
        expected = F.cross_entropy(logits[:, 0], prepared.valid[1:]).item()
    measured = validate(model, prepared, columns)
    assert measured["nll"] == pytest.approx(expected, rel=1e-5 if columns == 1 else 2e-2)
    assert measured["perplexity"] == pytest.approx(exp(measured["nll"]))
    hits = (logits[:, 0].argmax(1) == prepared.valid[1:]).float().mean().item()
    assert measured["accuracy"] == pytest.approx(hits, abs=1e-6 if columns == 1 else 0.02)


def test_a_text_of_chance_has_the_perplexity_of_its_vocabulary() -> None:
    prepared = replace(batches(), valid=torch.randint(7, (500,)))
    model = LanguageModel(LSTM, 7, 8, init=1e-9)
    assert validate(model, prepared)["perplexity"] == pytest.approx(7, rel=1e-5)


@pytest.mark.parametrize("architecture", [CELL, LSTM, zoo.NAS_CELL], ids=["base 2", "lstm", "nas"])
def test_a_simple_text_is_learned_and_the_same_bits_come_out_twice(architecture: Any) -> None:
    recipe = replace(QUICK, parameters=8000, dropout=0.0, epochs=3)
    prepared = batches(recipe, train=6000)
    evaluations = [
        train(initial_network(architecture, prepared, recipe, seed=3), prepared, recipe, seed=3)
        for _ in range(2)
    ]
    one, other = (replace(evaluation, seconds=0) for evaluation in evaluations)
    assert one == other
    assert one.status == "ok" and one.metrics["perplexity"] < 1.5 and one.accuracy > 0.9
    assert one.metrics["samples"] == 3 * prepared.steps * 40


def test_a_restored_training_continues_to_the_same_bits() -> None:
    recipe = replace(QUICK, epochs=3, judged_epochs=3, embedding_dropout=0.1, recurrent_dropout=0.2)
    prepared = batches(recipe)

    def begun() -> TextTraining:
        return TextTraining(initial_network(CELL, prepared, recipe, 1), prepared, recipe, seed=1)

    whole, broken, again = begun(), begun(), begun()
    while not whole.finished:
        whole.advance()
    broken.advance()
    again.restore(broken.state())
    while not again.finished:
        again.advance()
    assert again.curve == whole.curve and len(whole.curve) == 3
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, again.network.state_dict()[name])


def test_training_leaves_the_global_generator_alone() -> None:
    prepared = batches()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(initial_network(CELL, prepared, QUICK, seed=0), prepared, QUICK, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_diverged_training_ends_early_with_its_reason() -> None:
    recipe = replace(QUICK, optimizer="sgd", learning_rate=1e4, clip=1e9, epochs=50, init=0.5)
    prepared = batches(recipe, train=4000)
    evaluation = train(initial_network(LSTM, prepared, recipe, seed=0), prepared, recipe, seed=0)
    assert evaluation.status == "nan" and evaluation.accuracy == 0.0
    assert "the loss was" in evaluation.error and "epoch" in evaluation.error


def test_the_rates_of_the_medium_model() -> None:
    """Zaremba et al. 2014: 1 for six epochs, then times 0.8 an epoch."""
    rates = list(replace(TEXT_RECIPES["paper"], epochs=9).rates(2))
    assert rates == pytest.approx([1.0] * 12 + [0.8] * 2 + [0.64] * 2 + [0.512] * 2)


def test_the_reward_of_the_paper() -> None:
    """Acceptance check 9 (section 4.2): 80 / perplexity^2; a perplexity of 100 earns 0.008."""
    assert REWARDS["perplexity"](Evaluation(metrics={"perplexity": 100.0})) == 0.008


def test_biases_begin_as_the_frequencies_of_the_tokens() -> None:
    recipe = replace(QUICK, frequency_bias=True, init=1e-9)
    prepared = batches(recipe)
    model = initial_network(LSTM, prepared, recipe, seed=0)
    shares = np.bincount(cycle(2000), minlength=7) + 0.5
    expected = -np.log(shares[:5] / shares.sum()).mean()
    assert validate(model, prepared)["nll"] == pytest.approx(expected, rel=1e-3)
    assert expected < log(7)


def test_a_text_too_short_for_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match="too short: one step reads 4 columns of 11 tokens"):
        batches(train=43)


def test_pythons_documentation_can_be_learned(tmp_path: Path) -> None:
    recipe = replace(TEXT_RECIPES["short"], parameters=60_000)
    prepared = prepare(
        load_text("documentation", unit="characters", train_size=20_000), recipe, torch.float32
    )
    evaluation = train(initial_network(LSTM, prepared, recipe, 0), prepared, recipe, 0)
    guess = torch.special.entr(prepared.frequencies).sum().exp().item()
    assert evaluation.metrics["perplexity"] < 0.7 * guess


def test_a_long_training_takes_no_more_memory_than_a_short_one() -> None:
    """A small tensor kept from each step once cost 6 MB a step: malloc could not reuse memory."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(10_000, size=13_000).astype(np.int32)
    words = TextData(tokens, tokens[:200], tuple(map(str, range(10_000))), "words")
    recipe = replace(TEXT_RECIPES["short"], epochs=2, judged_epochs=2)
    prepared = prepare(words, recipe, torch.float32)
    training = TextTraining(initial_network(zoo.NAS_CELL, prepared, recipe, 0), prepared, recipe, 0)
    training.advance()
    before = resident()
    training.advance()
    assert prepared.steps > 75
    assert resident() - before < 150 * 2**20


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
