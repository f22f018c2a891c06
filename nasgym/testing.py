"""Conformance checks for your own spaces, evaluators and agents; the built-in ones pass them too.

Each check raises AssertionError with a message that says what is wrong, and returns nothing.
"""

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from nasgym.environments.vector import NASVectorEnv
from nasgym.evaluation.evaluation import Evaluation
from nasgym.evaluation.evaluator import Evaluator
from nasgym.spaces.base import SearchSpace, Tokens
from nasgym.spaces.plain import digest


def check_space(space: SearchSpace, *, seed: int = 0, samples: int = 100) -> None:
    """Check that a space does what SearchSpace documents: on all strings, or on samples."""
    rng = np.random.default_rng(seed)
    if space.size <= 2_000:
        strings = list(space)
        assert len(strings) == space.size, f"size is {space.size}, but {len(strings)} are listed"
        assert len(set(strings)) == len(strings), "a string is listed twice"
        assert strings == [space.string(index) for index in range(space.size)]
    else:
        strings = [space.sample(rng) for _ in range(samples)]
        strings += [space.sample_uniform(rng) for _ in range(samples)]
    for tokens in strings[:: max(1, len(strings) // 200)]:
        _check_string(space, tokens, rng)


def _check_string(space: SearchSpace, tokens: Tokens, rng: np.random.Generator) -> None:
    assert space.contains(tokens), f"{tokens} was drawn but is not contained"
    illegal = ((token, *tokens[1:]) for token in (-1, len(space.first().options)))
    for outside in ((*tokens, 0), tokens[:-1], *illegal):
        assert not space.contains(outside), f"{outside} is contained, and so is {tokens}"
        assert not _decodes(space, outside), f"decode does not raise ValueError for {outside}"
    assert len(tokens) <= space.max_length, f"{tokens} is longer than max_length"
    architecture = space.decode(tokens)
    assert digest(architecture) == digest(space.decode(tokens)), "decode is not deterministic"
    canonical = space.canonical(architecture)
    assert digest(space.canonical(canonical)) == digest(canonical), "canonical is not idempotent"
    with suppress(NotImplementedError):  # a large space without `choice` cannot encode
        assert space.decode(space.encode(architecture)) == architecture, "encode loses something"
    if any(len(decision.options) > 1 for decision, _ in space.walk(tokens)):
        mutant = space.mutate(tokens, rng)
        assert mutant != tokens and space.contains(mutant), f"{mutant} is no mutant of {tokens}"
    for neighbour in itertools.islice(space.neighbours(tokens), 50):
        assert neighbour != tokens and space.contains(neighbour), f"{neighbour} is no neighbour"


def _decodes(space: SearchSpace, tokens: Tokens) -> bool:
    try:
        space.decode(tokens)
    except ValueError:
        return False
    return True


def check_evaluator(evaluator: Evaluator, architectures: Sequence[Any]) -> None:
    """Check that a batch keeps its order, and that each evaluation depends only on its child."""
    together = [_outcome(one) for one in evaluator.evaluate(architectures)]
    alone = [_outcome(evaluator.evaluate([one])[0]) for one in architectures]
    assert together == alone, "a batch and its architectures one by one give different evaluations"
    backwards = [_outcome(one) for one in evaluator.evaluate(architectures[::-1])]
    assert backwards == alone[::-1], "evaluations are not in the order of the architectures"


def _outcome(evaluation: Evaluation) -> Evaluation:
    assert isinstance(evaluation, Evaluation), f"{evaluation!r} is not an Evaluation"
    return replace(evaluation, seconds=0.0)


def check_agent(make: Callable[[int], Any], space: SearchSpace, *, budget: int = 60) -> None:
    """Check that an agent spends its budget, repeats itself by seed, and survives failures.

    `make` takes a seed and returns the agent.
    """
    once, again = _strings(make(1), space, budget), _strings(make(1), space, budget)
    assert len(once) == budget, f"the agent finished {len(once)} of {budget} children"
    assert once == again, "the same seed gave two different searches"
    assert once != _strings(make(2), space, budget), "two seeds gave the same search"


class _Flaky:
    """An evaluator whose accuracies come from digests; about one child in seven fails."""

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        return [self._one(int(digest(architecture)[:8], 16)) for architecture in architectures]

    def _one(self, number: int) -> Evaluation:
        if number % 7 == 0:
            return Evaluation(status="exception", error="made to fail")
        return Evaluation(accuracy=number / 2**32)


def _strings(agent: Any, space: SearchSpace, budget: int) -> list[Tokens]:
    envs = NASVectorEnv(space, _Flaky(), num_envs=4)
    with envs.study.limited_to(budget):
        agent.search(envs, budget)
    return [trial.tokens for trial in envs.archive]
