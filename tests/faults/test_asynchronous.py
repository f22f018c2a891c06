"""A search over a parameter server: what its log says is what its weights are."""

import os
import random
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nasgym import Archive, NASVectorEnv
from nasgym.agents.reinforce.asynchronous import ReinforceAsync
from nasgym.archive import Trial
from nasgym.search.replay import replay
from nasgym.search.run import Run
from nasgym.spaces import ConvSpace
from tests import free_search
from tests.faults.table import Seen
from tests.faults.tiers import Scale
from tests.killing import Account, Nest
from tests.spaces import Numbers

OPTIONS: dict[str, Any] = {"preset": "short", "replicas": 4, "batch": 2, "shards": 3}


@pytest.mark.fault("F30", "kill -9 of a search over a parameter server; its log is replayed")
def test_f30_the_log_gives_the_weights(tmp_path: Path, scale: Scale, seed: int, seen: Seen) -> None:
    kills, children, folder = scale(4, 60), scale(100, 400), tmp_path / "run"
    options = [f"{name}={value}" for name, value in OPTIONS.items()]
    account = Account()
    with closing(Nest("reinforce_async")) as nest:
        arguments = [str(folder), "reinforce_async", str(children), *options]
        account.follow(nest, arguments, kills, random.Random(seed), 0.3)
    free_search.register()
    again = replay(Run(folder))
    assert again.trials == children and again.updates == children // 2
    assert again.equal and again.saved is not None
    seen(account.kills, f"{account}; {again.updates} updates replayed: weights equal bit for bit")


@pytest.mark.fault("F30", "kill -9 of a shard, and of the process of the replicas")
def test_f30_actors_that_are_killed(tmp_path: Path, scale: Scale, seen: Seen) -> None:
    """What they knew is computed from the archive, while children go on being trained."""
    budget, deaths = scale(30, 400), scale([10], [50, 150, 250, 350])
    space = ConvSpace(layers=1, max_layers=3, filter_heights=(1, 3), filter_widths=(1, 3))

    def environment(path: Path | None) -> NASVectorEnv:
        return NASVectorEnv(space, Numbers(), 4, grow_by=1, grow_every=16, archive=path)

    options = OPTIONS | {"shards": scale(1, 3)}
    env = environment(tmp_path / "archive.db")
    agent = ReinforceAsync(2, **options, placement="processes", hosts=scale(1, 2))

    def kill(trial: Trial) -> None:
        if trial.number in deaths:
            of_shards = deaths.index(trial.number) % 2 == 0
            actors = agent.server.shards if of_shards else agent._replicas
            os.kill(actors[-1].pid, signal.SIGKILL)  # type: ignore[attr-defined]

    env.study.listeners.append(kill)
    agent.search(env, budget)
    evaluator: Any = env.study.evaluator
    asked = evaluator.wrapped.asked
    assert len(asked) == len({str(one) for one in asked}), "trained twice"
    undisturbed = environment(None)
    again = ReinforceAsync(2, **options)
    again.search(undisturbed, budget)
    assert [t.tokens for t in env.archive] == [t.tokens for t in undisturbed.archive]
    env.study.resume(0)
    again = ReinforceAsync(2, **options)
    again.search(env, budget)
    assert agent.state() == again.state()
    agent._close_actors()
    env.close()
    with closing(Archive(tmp_path / "archive.db", read_only=True)) as archive:
        updates = len(archive.updates())
    seen(len(deaths), f"{budget} children, none trained twice; {updates} updates replayed: equal")
