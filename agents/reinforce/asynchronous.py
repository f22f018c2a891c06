"""REINFORCE over an asynchronous parameter server (Zoph & Le 2017, section 3.2 and figure 3).

K replicas of the controller sample m children each. Once all m children of a replica are trained,
it sends their gradient to the parameter server and samples again, without waiting for the other
replicas. The parameter server holds the parameters in S shards and applies the gradient at once. A
gradient may therefore come from parameters that are some versions old. The archive records the
version and all else that decided an update, so that the same weights can be recomputed bit for bit:
after a crash of this process or of a shard, and by `nasgym replay`.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nasgym.agents.advantages import Advantages, rewards_of
from nasgym.agents.base import generator_state, resume
from nasgym.agents.controller.controller import Controller
from nasgym.agents.reinforce.parameter_server import (
    ParameterServer,
    Replica,
    Shard,
    decode_arrays,
    encode_arrays,
)
from nasgym.agents.reinforce.presets import AUTO, PresetAgent
from nasgym.agents.settings import check_types
from nasgym.agents.torch_state import packed, unpacked
from nasgym.archive import Trial, Update
from nasgym.environments.env import NASEnv
from nasgym.environments.resume import ReplayError
from nasgym.environments.study import Study
from nasgym.environments.vector import NASVectorEnv
from nasgym.errors import InvalidInput
from nasgym.execution.actor import Actor, ActorLost
from nasgym.execution.actors import PLACEMENTS, gather, place
from nasgym.spaces.base import Tokens

LOSSES_IN_A_ROW = 3
"""The search stops after this many lost actors without a finished child in between."""


@dataclass(frozen=True)
class AsynchronousSettings:
    """How replicas learn, and how many there are. The defaults are the preset "paper"."""

    shards: int = 1
    """S: shards that hold the parameters."""
    replicas: int = 2
    """K: replicas of the controller; up to K times m children train at the same time."""
    batch: int = 8
    """m: children whose mean gradient a replica sends."""
    accumulate: int = 1
    """Number of replicas' gradients averaged into one update."""
    placement: str = "here"
    """Where shards and replicas run: "here", in this process; "processes", each shard in a process
    of its own and the replicas in `hosts` others; "ray", the same on a Ray cluster."""
    hosts: int = 2
    """Processes that the replicas share, unless they run "here"."""
    lr: float = 0.0006
    """Adam's learning rate."""
    decay: float = 0.95
    """Decay of the baseline, a moving average of the rewards that all replicas share."""
    entropy: float = 0.0
    """Weight of the mean entropy of a decision, in nats: see `ReinforceSettings`."""
    standardise: bool = False
    """Whether to divide advantages by their spread."""
    hidden: int = 35
    """Units of each LSTM layer."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("shards", "replicas", "batch", "accumulate", "hosts", "hidden"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be from 1, not {getattr(self, name)}")
        if self.lr <= 0 or not 0 <= self.decay < 1:
            raise InvalidInput(
                f"lr must be above 0 and decay in [0, 1): not {self.lr} and {self.decay}"
            )
        if self.placement not in PLACEMENTS:
            raise InvalidInput(f"placement {self.placement!r} is none of {', '.join(PLACEMENTS)}")


PRESETS: Mapping[str, AsynchronousSettings] = {
    "paper": AsynchronousSettings(),
    "short": AsynchronousSettings(lr=0.02, decay=0.9, entropy=0.5, standardise=True),
    "paper-cifar10": AsynchronousSettings(shards=20, replicas=100, batch=8),
    "paper-ptb": AsynchronousSettings(shards=20, replicas=400, batch=1, accumulate=10, lr=0.0005),
}
"""Settings by name: the paper's controller, that of short searches (see `PRESETS` in
`nasgym.agents.reinforce.reinforce`), and the paper's two experiments (sections 4.1 and 4.2)."""


@dataclass
class ReplicaState:
    """Progress of one replica; the agent holds it, replicas keep nothing between requests."""

    generator: str
    """The state of its random generator."""
    samples: int = 0
    """Number of times it has sampled."""
    version: int = 0
    """Version of the parameters with which it sampled last."""
    strings: dict[int, Tokens] = field(default_factory=dict)
    """Its strings by the numbers of their proposals; empty if it is free to sample."""
    rewards: dict[int, float] = field(default_factory=dict)
    """Rewards of its trained children, by the numbers of their proposals."""

    @property
    def complete(self) -> bool:
        """Whether all its children are trained."""
        return len(self.rewards) == len(self.strings)


class ReinforceAsync(PresetAgent[AsynchronousSettings]):
    """Sample with many replicas; update when all children of one replica are trained."""

    in_waves = False

    def __init__(
        self,
        seed: int = 0,
        *,
        preset: str = AUTO,
        shards: int | None = None,
        replicas: int | None = None,
        batch: int | None = None,
        accumulate: int | None = None,
        placement: str | None = None,
        hosts: int | None = None,
        lr: float | None = None,
        decay: float | None = None,
        entropy: float | None = None,
        standardise: bool | None = None,
        hidden: int | None = None,
    ) -> None:
        """`preset` is "auto" or a name in `PRESETS`; see `PresetAgent`.

        The other options override the preset's values and are documented in
        `AsynchronousSettings`; None keeps the preset's value.
        """
        options = {
            "shards": shards,
            "replicas": replicas,
            "batch": batch,
            "accumulate": accumulate,
            "placement": placement,
            "hosts": hosts,
            "lr": lr,
            "decay": decay,
            "entropy": entropy,
            "standardise": standardise,
            "hidden": hidden,
        }
        self.seed = seed
        self._server: ParameterServer | None = None
        self._replicas: list[Actor] = []
        super().__init__(PRESETS, preset, options)

    def _use(self, preset: str) -> None:
        super()._use(preset)
        self._reset()

    def _reset(self) -> None:
        """Return to the state before the first proposal."""
        self._close_actors()
        self.advantages = Advantages(self.settings.decay, self.settings.standardise)
        # The first replica draws the same strings as `reinforce`.
        seeds: list[int | list[int]] = [self.seed]
        seeds += [[self.seed, number] for number in range(1, self.settings.replicas)]
        generators = [np.random.default_rng(each) for each in seeds]
        self.replica_states = [ReplicaState(generator_state(each).decode()) for each in generators]
        self._saved: bytes | None = None
        self._logged: deque[Update] = deque()
        self._entropy: list[tuple[int, float]] = []

    def _close_actors(self) -> None:
        """End the actors; what they hold is lost."""
        if self._server is not None:
            for actor in (*self._server.shards, *self._replicas):
                actor.close()
        self._server = None
        self._replicas = []

    # The search -------------------------------------------------------------------------------

    def search(self, env: NASEnv | NASVectorEnv, budget: int) -> None:
        """Keep all workers busy until `budget` children are finished.

        If an actor is lost, no trained child is: its contents are recomputed from the archive while
        children continue to train. Raises ActorLost if actors are lost again and again.
        """
        self._choose_preset(budget)
        study = env.unwrapped.study
        first = study.trials, study.proposals
        losses = 0
        while True:
            before = study.trials
            try:
                self._begin(study)
                self._search(study, budget)
                return
            except ActorLost:
                losses = losses + 1 if study.trials == before else 1
                if losses == LOSSES_IN_A_ROW:
                    raise
                self._reset()
                if not resume(self, study):
                    study.resume(*first)

    def _begin(self, study: Study) -> None:
        """Place the actors and load the saved state into them."""
        if self._server is not None:
            return
        chosen, space = self.settings, study.ceiling.space
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
        if study.trials < len(study.archive):
            logged = study.archive.updates(self._server.version)
            self._logged = deque(logged[len(self._server.pending) :])

    def _search(self, study: Study, budget: int) -> None:
        while study.should_submit(budget) or study.in_flight:
            if study.should_submit(budget) and self._sample(study, budget):
                continue
            self._learn(study, study.finished())
            study.checkpoint(self.state)

    def _sample(self, study: Study, budget: int) -> bool:
        """Let free replicas sample for the idle workers; return whether any did."""
        server = self.server
        shares = self._shares(study, budget)
        asked = [
            {
                "values": encode_arrays(server.values),
                "generator": self.replica_states[number].generator,
                "count": count,
                "layers": study.space.layers,
            }
            for number, count in shares.items()
        ]
        answers = gather(self._replicas, "sample", asked)
        with study.gathering():
            for number, answer in zip(shares, answers, strict=True):
                state = self.replica_states[number]
                strings = [tuple(tokens) for tokens in answer["strings"]]
                proposals = study.submit(strings, replica=number, version=server.version)
                state.generator, state.version = answer["generator"], server.version
                state.samples += 1
                state.strings, state.rewards = dict(zip(proposals, strings, strict=True)), {}
        return bool(shares)

    def _shares(self, study: Study, budget: int) -> dict[int, int]:
        """Return the number of strings to sample, by replica.

        A resumed search follows the archive; otherwise the replicas with the fewest samples come
        first.
        """
        due = study.due_proposals()
        if due and due[0].origin.replica is not None:
            return {due[0].origin.replica: len(due)}
        free = [number for number, state in enumerate(self.replica_states) if not state.strings]
        free.sort(key=lambda number: self.replica_states[number].samples)
        idle, left = study.idle_workers, budget - study.trials - study.in_flight
        shares = {}
        for number in free:
            if idle > 0 and left > 0:
                shares[number] = min(self.settings.batch, left)
                idle -= shares[number]
                left -= shares[number]
        return shares

    def _learn(self, study: Study, trials: Sequence[Trial]) -> None:
        """Record trials; update the parameters for each replica whose children are all trained."""
        complete: list[tuple[int, Trial]] = []
        for trial, reward in zip(trials, rewards_of(trials), strict=True):
            if trial.origin is None or trial.origin.replica is None:
                raise ReplayError(
                    f"trial {trial.number} belongs to no replica: another agent proposed it"
                )
            state = self.replica_states[trial.origin.replica]
            state.rewards[trial.origin.proposal] = reward
            if state.complete:
                complete.append((trial.origin.replica, trial))
        asked = [self._gradient_request(self.replica_states[number]) for number, _ in complete]
        answers = gather(self._replicas, "gradient", asked)
        for (number, last), answer in zip(complete, answers, strict=True):
            self._log(study, number)
            self.server.apply(decode_arrays(answer["gradient"]))
            self.replica_states[number].strings = {}
            self._entropy.append((last.number + 1, answer["entropy"]))
        self.server.forget_others({each.version for each in self.replica_states if each.strings})

    def _gradient_request(self, state: ReplicaState) -> dict[str, Any]:
        """Return the arguments of `Replica.gradient` for a replica's trained children."""
        rewards = [state.rewards[number] for number in state.strings]
        return {
            "values": encode_arrays(self.server.versions[state.version]),
            "strings": list(state.strings.values()),
            "advantages": self.advantages.update(rewards).tolist(),
        }

    def _log(self, study: Study, number: int) -> None:
        """Log an update before it is applied; in a replay, compare it with the log."""
        state = self.replica_states[number]
        rewards = [state.rewards[proposal] for proposal in state.strings]
        update = Update(
            replica=number,
            read=state.version,
            made=self.server.version + 1,
            reward=sum(rewards) / len(rewards),
            proposals=tuple(state.strings),
        )
        if not self._logged:
            study.archive.log([update])
        elif (before := self._logged.popleft()) != update:
            raise ReplayError(
                f"an update cannot be replayed: it is {update} now, and was {before}; was the "
                f"archive made with another seed or version?"
            )

    # The state --------------------------------------------------------------------------------

    @property
    def server(self) -> ParameterServer:
        """Return the parameter server of the search."""
        if self._server is None:
            raise RuntimeError("search first: the controller depends on the space that is searched")
        return self._server

    def entropy(self) -> list[tuple[int, float]]:
        """Return (children finished, mean entropy of a decision in nats) after each gradient."""
        return list(self._entropy)

    def state(self) -> bytes | None:
        """Return the needed versions of parameters, Adam's moments, averages and replica states."""
        if self._server is None:
            return self._saved
        state = {
            "server": self._server.state(),
            "advantages": self.advantages.state(),
            "seats": [vars(each) for each in self.replica_states],
            "entropy": self._entropy,
            **self._preset_state(),
        }
        return packed(state)

    def restore(self, state: bytes) -> None:
        """Load what `state` returned."""
        known = unpacked(state)
        self._restore_preset(known)
        self._reset()
        self.advantages.restore(known["advantages"])
        self.replica_states = [ReplicaState(**each) for each in known["seats"]]
        self._entropy = list(known["entropy"])
        self._saved = state
