"""The parameter server: the paper's figures, exactness, staleness, and actors that are killed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nasgym import NASVectorEnv
from nasgym.agents.controller.controller import Controller
from nasgym.agents.reinforce import asynchronous as reinforce_async
from nasgym.agents.reinforce.asynchronous import PRESETS, ReinforceAsync
from nasgym.agents.reinforce.parameter_server import (
    ParameterServer,
    Replica,
    Shard,
    decode_arrays,
    encode_arrays,
    partition,
)
from nasgym.agents.reinforce.reinforce import Reinforce
from nasgym.execution.actor import ActorFailed, ActorLost
from nasgym.execution.actors import HereActor, ProcessActor, gather, place
from nasgym.spaces import ConvSpace
from tests.spaces import Numbers

SPACE = ConvSpace(layers=1, max_layers=3, filter_heights=(1, 3), filter_widths=(1, 3))


def environment(num_envs: int = 4) -> NASVectorEnv:
    return NASVectorEnv(SPACE, Numbers(), num_envs, grow_by=1, grow_every=32)


def arrays(controller: Controller) -> list[Any]:
    return [one.detach().flatten().numpy().copy() for one in controller.parameters()]


def server(shards: int, values: Any, accumulate: int = 1) -> ParameterServer:
    return ParameterServer([HereActor(Shard, lr=0.1) for _ in range(shards)], values, accumulate)


def test_presets_are_the_papers_experiments() -> None:
    """Zoph & Le 2017, sections 4.1 and 4.2: S = 20, K = 100, m = 8; K = 400, m = 1, 10 together."""
    cifar, ptb = PRESETS["paper-cifar10"], PRESETS["paper-ptb"]
    assert (cifar.shards, cifar.replicas, cifar.batch, cifar.accumulate) == (20, 100, 8, 1)
    assert (ptb.shards, ptb.replicas, ptb.batch, ptb.accumulate) == (20, 400, 1, 10)
    assert (cifar.lr, ptb.lr, cifar.hidden, ptb.hidden) == (0.0006, 0.0005, 35, 35)
    assert cifar.replicas * cifar.batch == 800 and ptb.replicas * ptb.batch == 400


@pytest.mark.parametrize("preset", ["paper", "short"])
def test_one_replica_and_one_shard_are_reinforce_bit_for_bit(preset: str) -> None:
    """The ceiling grows on the way, and the last batch is a short one."""
    waves, asynchronous = environment(), environment()
    reinforce = Reinforce(5, preset=preset)
    reinforce.search(waves, 100)
    agent = ReinforceAsync(5, preset=preset, replicas=1)
    agent.search(asynchronous, 100)
    assert sorted(t.tokens for t in waves.archive) == sorted(t.tokens for t in asynchronous.archive)
    controller, adam = reinforce._learner or (None, None)
    assert controller is not None and adam is not None
    for ours, theirs in zip(agent.server.values, controller.parameters(), strict=True):
        assert ours.tobytes() == theirs.detach().numpy().tobytes()
    assert agent.server.version == 13
    assert agent.entropy() == reinforce.entropy()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(1, 20))
def test_parts_are_equal_disjoint_and_all_there_is(sizes: list[int], shards: int) -> None:
    cut = partition(sizes, shards)
    elements = [(index, at) for part in cut for index, a, b in part for at in range(a, b)]
    assert elements == [(index, at) for index, size in enumerate(sizes) for at in range(size)]
    lengths = [sum(stop - start for _, start, stop in part) for part in cut]
    assert max(lengths) - min(lengths) <= 1 and len(cut) == shards
    assert all(start < stop for part in cut for _, start, stop in part)


def test_shards_hold_their_part_and_step_as_one_optimiser_would() -> None:
    values = arrays(Controller(SPACE, hidden=5))
    rng = np.random.default_rng(0)
    one, many = server(1, values), server(7, values)
    for _ in range(20):
        gradient: list[Any] = [rng.normal(size=len(array)).astype(np.float32) for array in values]
        one.apply(gradient)
        many.apply(gradient)
    for left, right in zip(one.values, many.values, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)
    held = [sum(p.numel() for p in shard._object._parameters) for shard in many.shards]  # type: ignore[attr-defined]
    assert sum(held) == sum(len(array) for array in values) and max(held) - min(held) <= 1
    with pytest.raises(ValueError, match="20 shards are more than 3 parameters"):
        server(20, [np.zeros(3, np.float32)])


def test_accumulated_gradients_make_one_version_of_their_mean() -> None:
    values = [np.zeros(3, np.float32), np.zeros(2, np.float32)]
    together, alone = server(2, values, accumulate=3), server(2, values)
    halves: list[list[Any]] = [[np.full(3, each, np.float32), None] for each in (1.0, 2.0)]
    whole: list[Any] = [np.full(3, 6.0, np.float32), np.full(2, 3.0, np.float32)]
    for gradient in (*halves, whole):
        assert together.version == 0
        together.apply(gradient)
    assert together.version == 1 and not together.pending
    alone.apply([np.full(3, 3.0, np.float32), np.full(2, 1.0, np.float32)])
    assert all((a == b).all() for a, b in zip(together.values, alone.values, strict=True))
    untouched = server(2, values)  # what no gradient reaches keeps its bits and its moments
    untouched.apply([np.ones(3, np.float32), None])
    assert (untouched.values[1] == 0).all()


def test_a_stale_gradient_is_that_of_the_parameters_that_were_read() -> None:
    """Against autograd on a controller that was set aside when the strings were sampled."""
    seen: list[tuple[Any, ...]] = []

    class Watched(ReinforceAsync):
        def _gradient_request(self, state: Any) -> dict[str, Any]:
            request = super()._gradient_request(state)
            seen.append((state.version, self.server.version, request))
            return request

    agent = Watched(1, preset="short", replicas=3, batch=4)
    env = environment()
    versions: dict[int, Any] = {}
    env.study.listeners.append(
        lambda _: versions.setdefault(agent.server.version, agent.server.values) and None
    )
    agent.search(env, 60)
    stale = [(read, question) for read, now, question in seen if read < now]
    assert len(stale) > 5
    replica = Replica(SPACE, 35, 0.5)
    for version, question in stale:
        controller = Controller(SPACE, seed=9)
        for parameter, array in zip(controller.parameters(), versions[version], strict=True):
            parameter.data = torch.tensor(array).view_as(parameter)
        log_prob, entropy = controller.score(question["strings"])
        advantages = torch.tensor(question["advantages"]).double()
        loss = -(log_prob * advantages).mean() - 0.5 * entropy.mean()
        loss.backward()  # type: ignore[no-untyped-call]
        answer = decode_arrays(replica.gradient(**question)["gradient"])
        for parameter, array in zip(controller.parameters(), answer, strict=True):
            expected = parameter.grad
            assert (expected is None) == (array is None)
            if expected is not None and array is not None:
                np.testing.assert_allclose(array, expected.flatten().numpy(), rtol=1e-4, atol=1e-7)


def test_every_update_is_logged_with_what_decided_it() -> None:
    env = environment()
    agent = ReinforceAsync(0, preset="short", replicas=3, batch=4, accumulate=2)
    agent.search(env, 61)
    updates = env.archive.updates()
    trials = {trial.origin.proposal: trial for trial in env.archive if trial.origin}
    assert [update.made for update in updates] == [number // 2 + 1 for number in range(16)]
    assert sorted(number for one in updates for number in one.proposals) == list(range(61))
    for update in updates:
        of_it = [trials[number] for number in update.proposals]
        assert update.reward == sum(trial.reward for trial in of_it) / len(of_it)
        assert {trial.origin.replica for trial in of_it if trial.origin} == {update.replica}
        assert {trial.origin.version for trial in of_it if trial.origin} == {update.read}
    assert {update.made - update.read - 1 for update in updates} >= {0, 1}
    assert agent.server.version == 8
    assert set(agent.server.versions) == {8}, "values of old versions are forgotten"


def test_actors_that_die_at_once_end_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying(HereActor):
        def answer(self) -> Any:
            raise ActorLost("process 7 of an actor died")

    placed = []

    def place(placement: str, make: Any, **arguments: Any) -> HereActor:
        placed.append((Dying if make is Replica else HereActor)(make, **arguments))
        return placed[-1]

    monkeypatch.setattr(reinforce_async, "place", place)
    with pytest.raises(ActorLost, match="process 7 of an actor died"):
        ReinforceAsync(0).search(environment(), 8)
    assert len(placed) == 6, "three times, a replica and a shard each"


def test_actors_answer_in_order_and_say_what_failed() -> None:
    actors = [place("processes", Shard, lr=0.1), place("here", Shard, lr=0.1)]
    values = encode_arrays([np.arange(3, dtype=np.float32)])
    assert gather(actors, "load", [{"values": values}] * 3) == [None] * 3
    here, there = gather(actors, "apply", [{"gradient": values}] * 2)
    assert here == there and decode_arrays(here)[0] == pytest.approx([0.0, 0.9, 1.9])
    with pytest.raises(ActorFailed, match="no_such_method"):
        gather(actors[:1], "no_such_method", [{}])
    actors[0].close()
    with pytest.raises(ValueError, match="placement 'moon' is none of here, processes, ray"):
        place("moon", Shard, lr=0.1)
    with pytest.raises(ValueError, match="use placement='here'"):
        ProcessActor(lambda: None)


def test_states_of_another_number_of_shards_are_refused_in_one_line() -> None:
    env = environment()
    agent = ReinforceAsync(0, shards=2)
    agent.search(env, 16)
    state = agent.state()
    assert state is not None
    other = ReinforceAsync(0, shards=3)
    other.restore(state)
    env.study.resume(16, 16)
    with pytest.raises(ValueError, match="the state has 2 shards, not 3"):
        other.search(env, 24)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"replicas": 0}, "replicas must be from 1, not 0"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"placement": "moon"}, "placement 'moon' is none of here, processes, ray"),
        ({"shards": 1.5}, "shards must be a whole number, not 1.5"),
        ({"preset": "long"}, "preset 'long' is none of auto, paper, short, paper-cifar10, paper-"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ReinforceAsync(0, **options)


def test_auto_chooses_a_preset_and_saves_it() -> None:
    env, agent = environment(), ReinforceAsync(0, replicas=3)
    agent.search(env, 16)
    state = agent.state()
    assert state is not None and agent.settings == replace(PRESETS["short"], replicas=3)
    resumed = ReinforceAsync(0, replicas=3)
    resumed.restore(state)
    resumed._choose_preset(100_000)
    assert resumed.settings == agent.settings and resumed.state() == state
