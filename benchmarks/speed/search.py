"""The speed of searching: environments, the controller and its updates, and whole searches."""

import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv, VectorEnv

from nasgym.agents import make
from nasgym.agents.controller.controller import Controller
from nasgym.agents.model_based.model_based import ModelBased
from nasgym.agents.reinforce.reinforce import Reinforce
from nasgym.archive import Trial
from nasgym.benchmarks.measurement import Effort, Measurement, Work, least_times, time_with_children
from nasgym.benchmarks.speed import naive
from nasgym.benchmarks.workloads import TWENTY_TOKENS
from nasgym.environments.env import NASEnv
from nasgym.environments.vector import NASVectorEnv
from nasgym.evaluation.evaluation import Evaluation
from nasgym.spaces import ConvSpace, NASBench201Space
from nasgym.spaces.base import Tokens

FORTY_TOKENS = ConvSpace(layers=8, max_layers=8, strides=(1, 2, 3), skip_connections=False)
"""A space of strings of 40 tokens, without connections, which the naive controller lacks."""


class ConstantReward:
    """An evaluator that gives every architecture the same accuracy."""

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        """Return one evaluation for each architecture."""
        return [Evaluation(accuracy=0.5) for _ in architectures]


def stepping(effort: Effort) -> Measurement:
    """Step environments through episodes without their last step, which trains children."""
    ours, sync, bare = _steps_a_second(8, effort)
    more, more_sync, more_bare = _steps_a_second(64, effort)
    whole, whole_sync, _ = _steps_a_second(8, effort, whole=True)
    return Measurement(
        "environment steps, 8 environments of 40 tokens",
        ours,
        sync,
        "steps/s",
        15.0,
        note=f"against SyncVectorEnv over NASEnv; {ours / bare:.1f}x a bare environment; "
        f"64 environments: {more:,.0f} steps/s, {more / more_sync:.0f}x, {more / more_bare:.0f}x; "
        f"whole episodes, decoded and recorded: {whole:,.0f} steps/s, {whole / whole_sync:.1f}x",
    )


def _steps_a_second(count: int, effort: Effort, *, whole: bool = False) -> list[float]:
    """Return the steps per second of NASVectorEnv, and of SyncVectorEnv over NASEnv and PlainEnv.

    Episodes stop before their last step, unless `whole`.
    """
    options = [len(decision.options) for decision in FORTY_TOKENS.automaton.decisions]
    length = len(options) if whole else len(options) - 1
    contenders: list[VectorEnv[Any, Any, Any]] = [
        NASVectorEnv(FORTY_TOKENS, ConstantReward(), count),
        SyncVectorEnv([lambda: NASEnv(FORTY_TOKENS, ConstantReward())] * count),
        SyncVectorEnv([lambda: naive.PlainEnv(options)] * count),
    ]
    episodes, rng = effort.part(20), np.random.default_rng(0)

    def steps(envs: VectorEnv[Any, Any, Any]) -> None:
        for episode in rng.integers(max(options), size=(episodes, length, count)):
            envs.reset()
            for actions in episode:
                envs.step(actions)

    times = least_times(*(partial(steps, envs) for envs in contenders), effort=effort)
    return [episodes * length * count / time for time in times]


def sampling(effort: Effort) -> Measurement:
    """Sample strings from the controller."""
    ours, baseline = _samples_a_second(8, effort)
    more, more_baseline = _samples_a_second(64, effort)
    return Measurement(
        "controller sampling, 8 strings of 40 tokens",
        ours,
        baseline,
        "tokens/s",
        4.0,
        note=f"64 strings {more:,.0f} tokens/s, {more / more_baseline:.1f}x",
    )


def _samples_a_second(count: int, effort: Effort) -> list[float]:
    controller, rng = Controller(FORTY_TOKENS), np.random.default_rng(0)
    slow = naive.Controller(FORTY_TOKENS.automaton.decisions)

    @torch.no_grad()
    def sample() -> None:
        slow(count)

    times = least_times(lambda: controller.sample(count, rng), sample, effort=effort)
    return [count * FORTY_TOKENS.max_length / time for time in times]


def policy_gradient(effort: Effort) -> Measurement:
    """Sample strings, look up their rewards and update the controller."""
    ours, baseline = _updates_a_second(8, effort)
    more, more_baseline = _updates_a_second(64, effort)
    libraries = "; ".join(_against_libraries(count, effort) for count in (8, 64))
    return Measurement(
        "REINFORCE, 8 strings of 40 tokens per update",
        ours,
        baseline,
        "updates/s",
        4.5,
        note=f"64 strings {more:,.0f} updates/s, {more / more_baseline:.1f}x; tokens per second "
        f"of a whole search with a constant reward: {libraries}; SB3 trains a plain MLP, and PPO "
        f"passes ten times over each batch",
    )


def _updates_a_second(count: int, effort: Effort) -> list[float]:
    agent = Reinforce(batch=count)
    slow = naive.Reinforce(naive.Controller(FORTY_TOKENS.automaton.decisions))

    def ours() -> None:
        agent.learn([_trial(tokens) for tokens in agent.propose(FORTY_TOKENS, count)])

    def baseline() -> None:
        slow.learn([_reward(tuple(tokens)) for tokens in slow.propose(count).tolist()])

    return [1 / time for time in least_times(ours, baseline, effort=effort)]


def _reward(tokens: Tokens) -> float:
    """Return a cheap reward: the share of zeros."""
    return tokens.count(0) / len(tokens)


def _trial(tokens: Tokens) -> Trial:
    return Trial(0, tokens, None, _reward(tokens), 0.0, {}, "ok", "", 0.0, False)


def _against_libraries(count: int, effort: Effort) -> str:
    """Return in words how fast whole searches are with `count` environments."""
    agents = [
        make("reinforce", batch=count),
        make("ppo", children_per_update=count),
        make("a2c", children_per_update=count),
    ]
    children = effort.part(5) * count
    searches = [_search(agent, FORTY_TOKENS, count, children) for agent in agents]
    ours, ppo, a2c = least_times(*searches, effort=effort)
    tokens = children * FORTY_TOKENS.max_length
    ratios = f"{ppo / ours:.1f}x PPO, {a2c / ours:.1f}x A2C"
    return f"{count} environments {tokens / ours:,.0f}, {ratios}"


def _search(
    agent: Any, space: ConvSpace, count: int, children: int, archive: Path | None = None
) -> Work:
    """Return a function that has `agent` search for `children` more children without training."""
    envs = NASVectorEnv(space, ConstantReward(), count, archive=archive)
    return lambda: agent.search(envs, envs.study.trials + children)


def whole_search(effort: Effort) -> Measurement:
    """Search with REINFORCE, including everything except the training of children."""
    count = 8
    children = effort.part(40) * count
    slow = naive.Reinforce(naive.Controller(TWENTY_TOKENS.automaton.decisions))
    sync = SyncVectorEnv([lambda: NASEnv(TWENTY_TOKENS, ConstantReward())] * count)

    def baseline() -> None:
        for _ in range(children // count):
            sync.reset()
            for actions in slow.propose(count).T:
                _, rewards, *_ = sync.step(actions)
            slow.learn(rewards.tolist())

    with TemporaryDirectory() as folder:
        path = Path(folder) / "archive.db"
        search = _search(make("reinforce"), TWENTY_TOKENS, count, children)
        on_disk = _search(make("reinforce"), TWENTY_TOKENS, count, children, path)
        mine, theirs = least_times(search, baseline, effort=effort)
        (wall,) = least_times(on_disk, effort=effort, clock=time.perf_counter)
    return Measurement(
        "whole search, 20 tokens, a constant reward",
        children / mine,
        children / theirs,
        "children/s",
        500.0,
        aim="ours",
        note="against the naive controller in a SyncVectorEnv over NASEnv, archives in memory; "
        f"wall-clock, with the archive on disk: {children / wall:,.0f} children/s",
    )


def proposing(effort: Effort) -> Measurement:
    """Propose with model_based after many children, of which its model keeps at most 500."""
    many = effort.part(2_000, least=50)
    early = _proposal(100)
    late, late_naive = _proposal(many), _proposal(many, remembered=many)
    soon, mine, theirs = least_times(early, late, late_naive, effort=effort)
    return Measurement(
        f"a proposal of model_based, 6 tokens, after {many:,} children",
        1000 * mine,
        1000 * theirs,
        "ms",
        200.0,
        aim="ours",
        note=f"against a model that keeps all children; after 100 children {1000 * soon:.0f} ms",
    )


def _proposal(children: int, **options: Any) -> Work:
    """Return a function in which model_based proposes one string after `children` children."""
    agent, space = ModelBased(first=children, **options), NASBench201Space()
    agent.learn([_trial(tokens) for tokens in agent.propose(space, children)])
    return lambda: agent.propose(space, 1)


def importing(effort: Effort) -> Measurement:
    """Import nasgym, without torch."""
    python, ours, theirs = least_times(
        _python("pass"),
        _python("import sys, nasgym; assert 'torch' not in sys.modules"),
        _python("import torch"),
        effort=effort,
        clock=time_with_children,
    )
    return Measurement(
        "`import nasgym`",
        ours - python,
        theirs - python,
        "s",
        0.5,
        aim="ours",
        note="against `import torch`, which it avoids",
    )


def _python(code: str) -> Work:
    return lambda: subprocess.run([sys.executable, "-c", code], check=True)
