"""A driver at work: one search whose children are simulated, and what it took of its process."""

import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nasgym import NASVectorEnv
from nasgym.agents import make
from nasgym.archive import Trial
from nasgym.benchmarks.clock import Effort
from nasgym.benchmarks.measurement import Measurement
from nasgym.benchmarks.scale.simulation import SimulatedEvaluator, VirtualBackend
from nasgym.benchmarks.workloads import TWENTY_TOKENS
from nasgym.search.paper import SEARCHES
from nasgym.spaces import ConvSpace
from nasgym.spaces.base import SearchSpace

SAMPLES = 800
"""How often a search is looked at."""

WINDOW = 12_800
"""Children over which the beginning and the end of a long search are averaged."""


@dataclass(frozen=True)
class Scenario:
    """A search to be simulated."""

    agent: str
    """Name of the agent."""
    workers: int
    """Children trained at a time."""
    children: int
    """Budget."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the agent."""
    asynchronous: bool = False
    """Whether the agent searches asynchronously; not for one that knows nothing else."""
    grows: bool = False
    """Whether the space is the paper's for CIFAR-10 under its growing ceiling (Zoph & Le 2017,
    section 4.1), or one with strings of 20 tokens."""
    durations: str = "exponential"
    """How long children take: a name in DURATIONS."""
    seconds: float = 60.0
    """How long they take on average."""
    failures: float = 0.0
    """Share of the children that end with an exception."""
    kills: float = 0.0
    """Share of the children that are killed, and begun again."""
    driver_counts: bool = True
    """Whether workers wait while the driver computes, or that takes no time at all."""

    def space(self) -> tuple[SearchSpace, dict[str, Any]]:
        """Return the space, and by how much its ceiling grows."""
        if not self.grows:
            return TWENTY_TOKENS, {}
        paper = SEARCHES["paper-cifar10"].env_options
        grown = {name: paper[name] for name in ("grow_by", "grow_every")}
        return ConvSpace(layers=paper["layers"], max_layers=paper["max_layers"]), grown


class Sample(NamedTuple):
    """How things stood at a moment of a search."""

    children: int
    """Children finished."""
    cpu: float
    """CPU seconds of the driver until then."""
    memory: int
    """Bytes that are resident."""


@dataclass(frozen=True)
class Outcome:
    """What a search took and what it kept busy."""

    cpu: float
    """CPU seconds of the driver."""
    wall: float
    """Seconds by the clock on the wall."""
    virtual: float
    """Seconds by the virtual clock."""
    utilisation: float
    """Share of all workers' time in which they trained."""
    utilisation_while_fed: float
    """The same until the last child was begun."""
    begun: int
    """Children that were begun, those begun again too; a repeated string begins none."""
    stored: int
    """Bytes of the archive, 0 if it was in memory."""
    staleness: Mapping[int, int]
    """How many children were proposed so many trials ago, where they do not come in waves."""
    updates: Mapping[int, int]
    """How many updates were computed with parameters so many versions old, where there is a
    parameter server."""
    samples: tuple[Sample, ...]
    """How things stood, from the first to the last."""

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "Outcome":
        """Return the outcome whose `asdict`, through JSON, is `data`."""
        counts = {
            name: {int(age): count for age, count in data[name].items()}
            for name in ("staleness", "updates")
        }
        samples = tuple(Sample(*sample) for sample in data["samples"])
        return cls(**{**data, **counts, "samples": samples})

    def to_plain(self) -> dict[str, Any]:
        """Return the outcome as JSON-able data."""
        return asdict(self)

    def microseconds(self, workers: int) -> tuple[float, float]:
        """Return the driver's CPU time a child, in µs, at the beginning and at the end.

        What is left out is filling the workers at first, and the last children, after which none
        are proposed.
        """
        children, cpu, _ = np.array(self.samples).T
        window = min(WINDOW, int(children[-1]) // 8)
        window = max(1, window // workers) * workers  # whole waves
        first, last = children[0], max(children[-1] - workers, children[0] + window)

        def cost(start: float, stop: float) -> float:
            taken = np.interp([start, stop], children, cpu)
            return 1e6 * float(taken[1] - taken[0]) / (stop - start)

        return cost(first, first + window), cost(last - window, last)

    @property
    def peak(self) -> int:
        """Return the most bytes that were resident."""
        return max(sample.memory for sample in self.samples)

    @property
    def growth(self) -> float:
        """Return by how many bytes a child the memory grew in the second half."""
        half = self.samples[len(self.samples) // 2 :]
        if len(half) < 2:
            return 0.0
        slope, _ = np.polyfit([one.children for one in half], [one.memory for one in half], 1)
        return float(slope)


def simulate(scenario: Scenario, archive: Path | None, seed: int = 0) -> Outcome:
    """Search as `scenario` says, with a new archive at `archive`, or in memory if that is None.

    `seed` is the agent's and the children's. The same seed gives the same search, unless the time
    of the driver counts.
    """
    backend = VirtualBackend(
        scenario.workers,
        durations=scenario.durations,
        seconds=scenario.seconds,
        failures=scenario.failures,
        kills=scenario.kills,
        seed=seed,
        driver=time.process_time if scenario.driver_counts else lambda: 0.0,
    )
    space, grown = scenario.space()
    children = SimulatedEvaluator(backend)
    env = NASVectorEnv(space, children, scenario.workers, archive=archive, **grown)
    agent: Any = make(scenario.agent, seed, **scenario.options)
    search = agent.search_asynchronously if scenario.asynchronous else agent.search
    samples: list[Sample] = []
    staleness: Counter[int] = Counter()
    every = max(1, scenario.children // SAMPLES)
    wall, cpu = time.perf_counter(), time.process_time()

    def look(trial: Trial) -> None:
        if trial.origin is not None:
            staleness[trial.number - trial.origin.trials] += 1
        if (trial.number + 1) % every == 0:
            samples.append(Sample(trial.number + 1, time.process_time() - cpu, _resident()))

    env.study.listeners.append(look)
    try:
        with env.study.limited_to(scenario.children):
            search(env, scenario.children)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        updates = Counter(update.made - update.read - 1 for update in env.archive.updates())
    finally:
        env.close()
    return Outcome(
        cpu=cpu,
        wall=wall,
        virtual=backend.now,
        utilisation=backend.utilisation,
        utilisation_while_fed=backend.utilisation_while_fed,
        begun=backend.begun,
        stored=archive.stat().st_size if archive else 0,
        staleness=dict(staleness),
        updates=dict(updates),
        samples=tuple(samples),
    )


def _resident() -> int:
    """Return the bytes of this process that are in memory; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def keeping_busy(effort: Effort) -> Measurement:
    """Keep 8 workers busy with the parameter server, and with batches of 8 that are waited for."""
    workers, children = 8, effort.part(1_600, least=16)
    server = Scenario("reinforce_async", workers, children, {"replicas": 8}, driver_counts=False)
    batches = replace(server, agent="reinforce", options={})
    ours, theirs = (simulate(one, None) for one in (server, batches))
    return Measurement(
        "8 workers, children of exponential durations, reinforce_async with 8 replicas of 8",
        ours.utilisation,
        theirs.utilisation,
        "busy s/s",
        0.95,
        aim="ours",
        note="on a virtual clock, against reinforce with batches of 8, of which "
        f"{1 / sum(1 / n for n in range(1, workers + 1)):.2f} is expected",
    )
