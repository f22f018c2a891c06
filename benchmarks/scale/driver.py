"""One search with simulated children, and the time and memory that its driver process used."""

import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nasgym.agents import make
from nasgym.archive import Trial
from nasgym.benchmarks.scale.simulation import SimulatedEvaluator, VirtualBackend
from nasgym.benchmarks.workloads import TWENTY_TOKENS
from nasgym.environments.vector import NASVectorEnv
from nasgym.search.paper import SEARCHES
from nasgym.spaces import ConvSpace
from nasgym.spaces.base import SearchSpace

SAMPLES = 800
"""Resource samples taken during a search."""

WINDOW = 12_800
"""Children in the averages at the beginning and at the end of a long search."""


@dataclass(frozen=True)
class Scenario:
    """A search to simulate."""

    agent: str
    """Name of the agent."""
    workers: int
    """Children trained at the same time."""
    children: int
    """Budget."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the agent."""
    asynchronous: bool = False
    """Whether to call the agent's asynchronous search; False if its only search is asynchronous."""
    grows: bool = False
    """True: the paper's space for CIFAR-10 with its growing number of layers (Zoph & Le 2017,
    section 4.1). False: a space of strings of 20 tokens."""
    durations: str = "exponential"
    """Distribution of the children's durations: a name in DURATIONS."""
    seconds: float = 60.0
    """Mean duration of a child."""
    failures: float = 0.0
    """Share of children that end with an exception."""
    kills: float = 0.0
    """Share of children that are killed and started again."""
    driver_counts: bool = True
    """Whether the driver's CPU time passes on the virtual clock too."""

    def space(self) -> tuple[SearchSpace, dict[str, Any]]:
        """Return the space and the options that make its number of layers grow."""
        if not self.grows:
            return TWENTY_TOKENS, {}
        paper = SEARCHES["paper-cifar10"].env_options
        grown = {name: paper[name] for name in ("grow_by", "grow_every")}
        return ConvSpace(layers=paper["layers"], max_layers=paper["max_layers"]), grown


class Sample(NamedTuple):
    """Progress and resources at one moment of a search."""

    children: int
    """Finished children."""
    cpu: float
    """CPU seconds of the driver so far."""
    memory: int
    """Resident memory in bytes."""


@dataclass(frozen=True)
class SimulationResult:
    """Times, worker utilisation and memory of one simulated search."""

    cpu: float
    """CPU seconds of the driver."""
    wall: float
    """Wall-clock seconds."""
    virtual: float
    """Virtual seconds."""
    utilisation: float
    """Share of the workers' time in which they trained."""
    utilisation_while_fed: float
    """The same, until the last child started."""
    begun: int
    """Children started, including restarts; a repeated string starts none."""
    stored: int
    """Size of the archive in bytes; 0 if it was in memory."""
    staleness: Mapping[int, int]
    """Number of children by age: trials between proposal and result. Empty for waves."""
    updates: Mapping[int, int]
    """Number of updates by the age of their parameters in versions. Empty without a parameter
    server."""
    samples: tuple[Sample, ...]
    """Samples in the order they were taken."""

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "SimulationResult":
        """Return the result from its JSON data."""
        counts = {
            name: {int(age): count for age, count in data[name].items()}
            for name in ("staleness", "updates")
        }
        samples = tuple(Sample(*sample) for sample in data["samples"])
        return cls(**{**data, **counts, "samples": samples})

    def to_plain(self) -> dict[str, Any]:
        """Return the result as JSON-able data."""
        return asdict(self)

    def microseconds(self, workers: int) -> tuple[float, float]:
        """Return the driver's CPU time per child, in µs, at the beginning and at the end.

        Leaves out the first children, which fill the workers, and the last, after which the search
        proposes none.
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
        """Return the largest resident memory in bytes."""
        return max(sample.memory for sample in self.samples)

    @property
    def growth(self) -> float:
        """Return the growth of memory in the second half, in bytes per child."""
        half = self.samples[len(self.samples) // 2 :]
        if len(half) < 2:
            return 0.0
        slope, _ = np.polyfit([one.children for one in half], [one.memory for one in half], 1)
        return float(slope)


def simulate(scenario: Scenario, archive: Path | None, seed: int = 0) -> SimulationResult:
    """Run `scenario` with a new archive at `archive`, or in memory if that is None.

    `seed` is used for the agent and for the children. The same seed gives the same search, unless
    the driver's time counts.
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

    def sample(trial: Trial) -> None:
        if trial.origin is not None:
            staleness[trial.number - trial.origin.trials] += 1
        if (trial.number + 1) % every == 0:
            samples.append(Sample(trial.number + 1, time.process_time() - cpu, _resident()))

    env.study.listeners.append(sample)
    try:
        with env.study.limited_to(scenario.children):
            search(env, scenario.children)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        updates = Counter(update.made - update.read - 1 for update in env.archive.updates())
    finally:
        env.close()
    return SimulationResult(
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
    """Return the resident memory of this process in bytes; 0 if the system has no /proc."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
