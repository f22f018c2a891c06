"""The published protocol of NAS-Bench-201: searches with simulated seconds, beside the literature.

python -m nasgym.benchmarks.experiments.nasbench201_protocol --dataset cifar10 --runs 100

The reward is the validation accuracy after 12 epochs. Each child, repeats too, costs the seconds of
these epochs, until the budget of seconds is spent. The score is the test accuracy after 200 epochs
of the network with the highest reward (Dong et al. 2021, NATS-Bench).
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import numpy as np
import tyro
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table as Rows

from nasgym import tables
from nasgym.agents.base import AskTellAgent
from nasgym.agents.evolution import RegularizedEvolution
from nasgym.agents.local_search import LocalSearch
from nasgym.agents.random_search import RandomSearch
from nasgym.archive import Trial
from nasgym.environments.vector import NASVectorEnv
from nasgym.errors import InvalidInput
from nasgym.spaces.base import SearchSpace, Tokens
from nasgym.tables import Table, TableError, TableEvaluator

SECONDS: Mapping[str, float] = {"cifar10": 20_000, "cifar100": 40_000}
"""Budget of a search in simulated seconds, by data set."""

PUBLISHED: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "cifar10": {
        "random": (93.86, 0.23),
        "evolution": (94.02, 0.31),
        "logit table": (93.90, 0.26),
    },
    "cifar100": {
        "random": (71.55, 0.97),
        "evolution": (72.23, 0.84),
        "logit table": (71.86, 0.89),
    },
}
"""Test accuracy in percent, mean and standard deviation of 500 runs (Dong et al. 2021)."""


class LogitTable(AskTellAgent):
    """REINFORCE over a table of logits with a row per decision, as in NATS-Bench.

    For spaces with the same decisions and options in every string. The baseline is an exponential
    moving average of the rewards that starts at 0 and includes the current reward.
    """

    batch = 1

    def __init__(
        self, seed: int = 0, *, lr: float = 0.01, decay: float = 0.9, initial: float = 0.001
    ) -> None:
        """`lr` is Adam's, `decay` the baseline's, `initial` the first logits' deviation."""
        self.rng = np.random.default_rng(seed)
        self.lr, self.decay, self.initial = lr, decay, initial
        self.logits: NDArray[np.float64] | None = None
        self.baseline = 0.0
        self.moments = (np.zeros(()), np.zeros(()))
        self.updates = 0

    def propose(self, space: SearchSpace, count: int) -> list[Tokens]:
        """Sample `count` strings."""
        if self.logits is None:
            shape = (space.max_length, space.max_options)
            self.logits = self.initial * self.rng.standard_normal(shape)
        probabilities = softmax(self.logits)
        return [
            tuple(int(self.rng.choice(len(row), p=row)) for row in probabilities)
            for _ in range(count)
        ]

    def learn(self, trials: Sequence[Trial]) -> None:
        """Follow the gradient of log P (R - b) after each trial."""
        if self.logits is None:
            raise RuntimeError("call propose before learn: it makes the table for the space")
        for trial in trials:
            self.baseline = self.decay * self.baseline + (1 - self.decay) * trial.reward
            chosen = np.eye(self.logits.shape[1])[list(trial.tokens)]
            gradient = (chosen - softmax(self.logits)) * (trial.reward - self.baseline)
            self.logits = self.logits + self._step(gradient)

    def _step(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Adam's step along `gradient` (Kingma & Ba 2015, algorithm 1, its defaults)."""
        self.updates += 1
        first, second = self.moments
        self.moments = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        mean = self.moments[0] / (1 - 0.9**self.updates)
        spread = np.sqrt(self.moments[1] / (1 - 0.999**self.updates))
        step: NDArray[np.float64] = self.lr * mean / (spread + 1e-8)
        return step


AGENTS: Mapping[str, Callable[[int], AskTellAgent]] = {
    "random": RandomSearch,
    "logit table": LogitTable,
    "evolution": lambda seed: RegularizedEvolution(seed, population=10, sample=3),
    "local search": LocalSearch,
}
"""Constructors of the agents, which take a seed."""


@dataclass(frozen=True)
class SearchScore:
    """The score of one search."""

    test: float
    """Test accuracy of the network with the highest reward, in percent."""
    children: int
    """Children within the budget."""
    different: int
    """Different children among them."""


def search_score(agent: AskTellAgent, table: Table, seconds: float) -> SearchScore:
    """Let `agent` search `table` for `seconds` simulated seconds, one child at a time.

    Raises ValueError if the seconds do not suffice for one child.
    """
    envs = NASVectorEnv(table.space, TableEvaluator(table))
    with envs.study.limited_to(sys.maxsize, seconds=seconds):
        agent.search(envs, sys.maxsize)
    best = envs.archive.best()
    if best is None:
        raise InvalidInput(f"{seconds} seconds do not suffice for one child")
    return SearchScore(
        test=100 * float(table.test[table.space.index(best.tokens)]),
        children=len(envs.archive),
        different=len({trial.tokens for trial in envs.archive}),
    )


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


@dataclass(frozen=True)
class PublishedProtocol:
    """Run the published protocol of NAS-Bench-201 and print it beside the published results."""

    dataset: Literal["cifar10", "cifar100"] = "cifar10"
    """Data set."""
    runs: int = 100
    """Searches of each agent, with seeds 0, 1, ..."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print JSON instead of a table."""

    def main(self) -> None:
        """Search with every agent and print the scores."""
        table = tables.load("nas-bench-201", dataset=self.dataset, epochs=12)
        seconds = SECONDS[self.dataset]
        progress = Console(stderr=True)
        found = {
            name: [
                search_score(make(seed), table, seconds)
                for seed in track(range(self.runs), name, console=progress, transient=True)
            ]
            for name, make in AGENTS.items()
        }
        if self.json:
            plain = {name: [asdict(one) for one in row] for name, row in found.items()}
            print(json.dumps({"dataset": self.dataset, "seconds": seconds, "outcomes": plain}))
        else:
            Console().print(rows(self.dataset, found))


def rows(dataset: str, found: Mapping[str, Sequence[SearchScore]]) -> Rows:
    """Return a table of each agent's scores beside the published ones."""
    runs = max(map(len, found.values()))
    shown = Rows(
        title=f"NAS-Bench-201, {dataset}, {SECONDS[dataset]:,} simulated seconds, {runs} runs",
        box=box.MARKDOWN,
    )
    shown.add_column("agent")
    for heading in ("test accuracy, %", "published", "children", "different"):
        shown.add_column(heading, justify="right")
    for name, scores in found.items():
        tests, children, different = (
            np.array([getattr(one, column) for one in scores])
            for column in ("test", "children", "different")
        )
        shown.add_row(
            name,
            f"{tests.mean():.2f} ± {tests.std():.2f}",
            "{:.2f} ± {:.2f}".format(*row) if (row := PUBLISHED[dataset].get(name)) else "",
            f"{children.mean():.0f}",
            f"{different.mean():.0f}",
        )
    return shown


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the protocol from the command line; reports a missing table in one line."""
    command = tyro.cli(PublishedProtocol, args=arguments)
    try:
        command.main()
    except (FileNotFoundError, TableError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
