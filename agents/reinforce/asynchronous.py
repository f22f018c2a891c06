"""REINFORCE over an asynchronous parameter server (Zoph & Le 2017, section 3.2 and figure 3).

K replicas of the controller sample m children each. As soon as all m of a replica are trained, its
gradient goes to the parameter server, which holds the parameters in S shards and applies it at
once, and the replica samples anew: nobody waits for the others. So a gradient may be computed with
parameters that are some versions old. Which version, and all else that decided an update, is in the
archive, so that the same weights can be computed again, bit for bit: after a crash of this process
or of any shard, and by `nasgym replay`.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nasgym.agents.advantages import Advantages, rewards_of
from nasgym.agents.base import Agent, generator_state, resume
from nasgym.agents.controller.controller import Controller
from nasgym.agents.reinforce.parameter_server import ParameterServer, Replica, Shard, read, written
from nasgym.agents.torch_state import packed, unpacked, with_options
from nasgym.archive import Trial, Update
from nasgym.environments.replay import ReplayError
from nasgym.execution.actor import Actor, ActorLost
from nasgym.execution.actors import PLACEMENTS, gather, place
from nasgym.spaces.base import Tokens

LOSSES_IN_A_ROW = 3
"""The search stops when actors die so often and no child is finished between."""


@dataclass(frozen=True)
class Settings:
    """How many learn how; by default each as the paper's controller."""

    shards: int = 1
    """S: parts that the parameters are held in."""
    replicas: int = 2
    """K: replicas of the controller; K times m children can be trained at a time."""
    batch: int = 8
    """m: children whose gradients a replica sends at once."""
    accumulate: int = 1
    """Gradients of replicas whose mean makes an update."""
    placement: str = "here"
    """Where shards and replicas live: "here", in this process; "processes", each shard in one of
    its own and the replicas in `hosts` others; "ray", the same over a Ray cluster."""
    hosts: int = 2
    """Processes that the replicas compute in, in turn, if they are not here."""
    lr: float = 0.0006
    """Adam's learning rate."""
    decay: float = 0.95
    """Of the baseline, which all replicas share: a moving average of the rewards."""
    entropy: float = 0.0
    """Weight of the mean entropy of a decision, in nats: see `nasgym.agents.reinforce`."""
    standardise: bool = False
    """Whether advantages are divided by their spread."""
    hidden: int = 35
    """Units of each LSTM layer."""

    def __post_init__(self) -> None:
        for name in ("shards", "replicas", "batch", "accumulate", "hosts", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 1, not {getattr(self, name)}")
        if self.lr <= 0 or not 0 <= self.decay < 1:
            raise ValueError(
                f"lr must be above 0 and decay in [0, 1): not {self.lr} and {self.decay}"
            )
        if self.placement not in PLACEMENTS:
            raise ValueError(f"placement {self.placement!r} is none of {', '.join(PLACEMENTS)}")


PRESETS: Mapping[str, Settings] = {
    "paper": Settings(),
    "short": Settings(lr=0.02, decay=0.9, entropy=0.5, standardise=True),
    "paper-cifar10": Settings(shards=20, replicas=100, batch=8),
    "paper-ptb": Settings(shards=20, replicas=400, batch=1, accumulate=10, lr=0.0005),
}
"""Settings by name: the paper's controller, that of short searches (see
`nasgym.agents.reinforce.reinforce`), and the paper's two experiments (sections 4.1 and 4.2)."""


@dataclass
class Seat:
    """What is known of a replica between what it is asked."""

    generator: str
    """The state of its random generator."""
    samples: int = 0
    """How often it has sampled."""
    version: int = 0
    """The version of the parameters that it read when it sampled last."""
    strings: dict[int, Tokens] = field(default_factory=dict)
    """Its strings by the numbers of their proposals; none if it is free to sample."""
    rewards: dict[int, float] = field(default_factory=dict)
    """Those of its children that are trained."""

    @property
    def complete(self) -> bool:
        """Whether all its children are trained."""
        return len(self.rewards) == len(self.strings)


class ReinforceAsync(Agent):
    """Sample with many replicas, and update whenever one of them has all its children."""

    in_waves = False

    def __init__(self, seed: int = 0, *, preset: str = "paper", **options: Any) -> None:
        """`preset` is a name in `PRESETS`; `options` are fields of `Settings` and override it."""
        if preset not in PRESETS:
            raise ValueError(f"preset {preset!r} is none of {', '.join(PRESETS)}")
        self.settings = with_options(PRESETS[preset], options, "reinforce_async")
        self.seed = seed
        self._server: ParameterServer | None = None
        self._forget()

    def _forget(self) -> None:
        """Be as before the first proposal."""
        self._end()
        self.advantages = Advantages(self.settings.decay, self.settings.standardise)
        # The first replica draws what `reinforce` would.
        seeds: list[int | list[int]] = [self.seed]
        seeds += [[self.seed, number] for number in range(1, self.settings.replicas)]
        generators = [np.random.default_rng(each) for each in seeds]
        self.seats = [Seat(generator_state(each).decode()) for each in generators]
        self._saved: bytes | None = None
        self._logged: deque[Update] = deque()
        self._entropy: list[tuple[int, float]] = []

    def _end(self) -> None:
        """End the actors, and what they hold with them."""
        if self._server is not None:
            for actor in (*self._server.shards, *self._replicas):
                actor.close()
        self._server = None
        self._replicas: list[Actor] = []

    # The search -------------------------------------------------------------------------------

    def search(self, env: Any, budget: int) -> None:
        """Keep all workers busy until `budget` children are finished.

        An actor that is lost, with whatever it held, costs nothing that was trained: what it knew
        is computed again from the archive while children go on being trained. Raises ActorLost if
        that happens again and again.
        """
        env = env.unwrapped
        first = env.trials, env.proposals
        losses = 0
        while True:
            before = env.trials
            try:
                self._begin(env)
                self._search(env, budget)
                return
            except ActorLost:
                losses = losses + 1 if env.trials == before else 1
                if losses == LOSSES_IN_A_ROW:
                    raise
                self._forget()
                if not resume(self, env):
                    env.resume(*first)

    def _begin(self, env: Any) -> None:
        """Place the actors, and have them know what was saved."""
        if self._server is not None:
            return
        chosen, space = self.settings, env.base_space
        controller = Controller(space, hidden=chosen.hidden, seed=self.seed)
        values = [one.detach().flatten().numpy() for one in controller.parameters()]
        policy: dict[str, Any] = {
            "space": space,
            "hidden": chosen.hidden,
            "entropy": chosen.entropy,
        }
        hosts = 1 if chosen.placement == "here" else min(chosen.hosts, chosen.replicas)
        self._replicas = [place(chosen.placement, Replica, **policy) for _ in range(hosts)]
        shards = [place(chosen.placement, Shard, lr=chosen.lr) for _ in range(chosen.shards)]
        self._server = ParameterServer(shards, values, chosen.accumulate)
        if self._saved is not None:
            self._server.restore(unpacked(self._saved)["server"])
        if env.trials < len(env.archive):
            logged = env.archive.updates(self._server.version)
            self._logged = deque(logged[len(self._server.pending) :])

    def _search(self, env: Any, budget: int) -> None:
        while env.wants(budget) or env.under_way:
            if env.wants(budget) and self._sample(env, budget):
                continue
            self._learn(env, env.finished())
            env.checkpoint(self.state)

    def _sample(self, env: Any, budget: int) -> bool:
        """Have free replicas sample, as many as workers wait for; return whether any did."""
        server = self.server
        shares = self._shares(env, budget)
        asked = [
            {
                "values": written(server.values),
                "generator": self.seats[number].generator,
                "count": count,
                "layers": env.space.layers,
            }
            for number, count in shares.items()
        ]
        answers = gather(self._replicas, "sample", asked)
        with env.gathering():
            for number, answer in zip(shares, answers, strict=True):
                seat = self.seats[number]
                strings = [tuple(tokens) for tokens in answer["strings"]]
                proposals = env.submit(strings, replica=number, version=server.version)
                seat.generator, seat.version = answer["generator"], server.version
                seat.samples += 1
                seat.strings, seat.rewards = dict(zip(proposals, strings, strict=True)), {}
        return bool(shares)

    def _shares(self, env: Any, budget: int) -> dict[int, int]:
        """Return how many strings each replica that is to sample now is to sample.

        A resumed search follows the archive; else those that have sampled least come first.
        """
        if again := env.expected():
            return {again[0].origin.replica: len(again)}
        free = [number for number, seat in enumerate(self.seats) if not seat.strings]
        free.sort(key=lambda number: self.seats[number].samples)
        idle, left = env.idle, budget - env.trials - env.under_way
        shares = {}
        for number in free:
            if idle > 0 and left > 0:
                shares[number] = min(self.settings.batch, left)
                idle -= shares[number]
                left -= shares[number]
        return shares

    def _learn(self, env: Any, trials: Sequence[Trial]) -> None:
        """Take in trials, and update the parameters for each replica that has all of its own."""
        complete: list[tuple[int, Trial]] = []
        for trial, reward in zip(trials, rewards_of(trials), strict=True):
            if trial.origin is None or trial.origin.replica is None:
                raise ReplayError(f"trial {trial.number} is of no replica: another agent's")
            seat = self.seats[trial.origin.replica]
            seat.rewards[trial.origin.proposal] = reward
            if seat.complete:
                complete.append((trial.origin.replica, trial))
        asked = [self._question(self.seats[number]) for number, _ in complete]
        answers = gather(self._replicas, "gradient", asked)
        for (number, last), answer in zip(complete, answers, strict=True):
            self._log(env, number)
            self.server.apply(read(answer["gradient"]))
            self.seats[number].strings = {}
            self._entropy.append((last.number + 1, answer["entropy"]))
        self.server.forget({seat.version for seat in self.seats if seat.strings})

    def _question(self, seat: Seat) -> dict[str, Any]:
        """Return what the replica is asked now that all its children are trained."""
        rewards = [seat.rewards[number] for number in seat.strings]
        return {
            "values": written(self.server.versions[seat.version]),
            "strings": list(seat.strings.values()),
            "advantages": self.advantages.of(rewards).tolist(),
        }

    def _log(self, env: Any, number: int) -> None:
        """Note in the archive what is about to be applied, or check that it was noted before."""
        seat = self.seats[number]
        rewards = [seat.rewards[proposal] for proposal in seat.strings]
        update = Update(
            replica=number,
            read=seat.version,
            made=self.server.version + 1,
            reward=sum(rewards) / len(rewards),
            proposals=tuple(seat.strings),
        )
        if not self._logged:
            env.archive.log([update])
        elif (before := self._logged.popleft()) != update:
            raise ReplayError(
                f"an update cannot be replayed: it is {update} now, and was {before}; was the "
                f"archive made with another seed or version?"
            )

    # What it knows ----------------------------------------------------------------------------

    @property
    def server(self) -> ParameterServer:
        """Return the parameter server of the search."""
        if self._server is None:
            raise RuntimeError(
                "search first: the controller is made for the space that is searched"
            )
        return self._server

    def entropy(self) -> list[tuple[int, float]]:
        """Return (children finished, mean entropy of a decision in nats) after each gradient."""
        return list(self._entropy)

    def state(self) -> bytes | None:
        """Return parameters in all versions needed, Adam's moments, averages and seats."""
        if self._server is None:
            return self._saved
        state = {
            "server": self._server.state(),
            "advantages": self.advantages.state(),
            "seats": [vars(seat) for seat in self.seats],
            "entropy": self._entropy,
        }
        return packed(state)

    def restore(self, state: bytes) -> None:
        """Go back to what `state` returned."""
        known = unpacked(state)
        self._forget()
        self.advantages.restore(known["advantages"])
        self.seats = [Seat(**seat) for seat in known["seats"]]
        self._entropy = list(known["entropy"])
        self._saved = state
