"""The content of the leaderboard: which sections it has, and their words and numbers."""

import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from math import isfinite

from nasgym.benchmarks.leaderboard.document import BREAK, Section
from nasgym.benchmarks.leaderboard.plots import regret_of
from nasgym.benchmarks.leaderboard.standings import (
    AgentOnTask,
    Interval,
    OverallStanding,
    TaskStanding,
    ranked_at,
)
from nasgym.benchmarks.leaderboard.tasks import task_named
from nasgym.execution.machine import processor

PACKAGES = ("nasgym", "gymnasium", "numpy", "torch", "stable-baselines3", "sb3-contrib")
"""Packages whose versions the leaderboard names."""

TITLE = "Leaderboard"

CAPTIONS = {
    "regret": "Regret on {task}: interquartile means with 95 % intervals; the bottom is zero.",
    "profile": "Share of all runs that come this close to the best network within {rank} children; "
    "higher is better.",
    "improvement": "Probability that a run of each agent beats a run of another after {rank} "
    "children, with 95 % intervals.",
}
"""Captions of the figures."""

METHOD = (
    "A *child* is an episode that ends in a network, even if that network was proposed before. All "
    "agents have the same number of children. After each child, a search recommends its best "
    "network by reward so far. The score of that network is its *clean* value: the table's mean "
    "over seeds after full training, whatever noise the reward has.",
    "* **regret**: the distance of that value from the best of the table, in percentage points. "
    "Without a table the best is unknown: the reward is then the value, and regret is measured "
    "against the best child that any run of any agent has found.",
    "* **children to the best**: the number of children until a run first recommends the best "
    "network. The median counts runs that never do as infinite (–).",
    "* **normalised score**: 0 is the mean network of the table, 100 the best.",
    "* **[low, high]**: 95 % bootstrap interval, from resampling the runs of each task. Averages "
    "are interquartile means, which leave out the best and the worst quarter of the runs; *mean* "
    "is the plain mean.",
    "* **better than**: the probability that a run beats a run of the other agent; ties count "
    "half, and tasks weigh the same (0.5: no better and no worse).",
    "* **agent**: CPU milliseconds of the searching process per child, including the environment "
    "and the archive. **children**: seconds to train the different networks of a run, simulated "
    "if the task is a table.",
)

RULES = (
    "* An agent is any class with `search(env, budget)` whose constructor takes `seed`. It sees "
    "only the environment and its rewards. Name it `package.module:Class`, or by its entry point "
    "in the group `nasgym.agents`.",
    "* Use one set of options for all tasks, all tasks of the tables above, and the same budgets "
    "and seeds. Say how you chose the options; do not tune on the seeds of this page.",
    "* Run the command above with your agent added to `--agents`. It keeps finished runs and runs "
    "only those of the new agent. Send `LEADERBOARD.md`, `scores.csv` and the two figures over "
    "all tables.",
)


def sections(
    standings: Sequence[TaskStanding],
    rows: Sequence[OverallStanding],
    command: str,
) -> list[Section]:
    """Return all sections; `command` is the command that makes the leaderboard."""
    return [
        Section("What it shows", by_hand=True),
        *([_overall_section(rows, standings)] if rows else []),
        *map(_task_section, standings),
        Section("How it is measured", METHOD),
        Section("How it was made", _origin(command)),
        Section("How to add a row", RULES),
    ]


def _origin(command: str) -> list[str]:
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return [
        f"On {time.strftime('%d %B %Y')} with Python {platform.python_version()}, {versions}; "
        f"{processor()[0]}.",
        f"`{command}`",
    ]


def _overall_section(rows: Sequence[OverallStanding], standings: Sequence[TaskStanding]) -> Section:
    tables = [standing for standing in standings if standing.tabular]
    rank = ranked_at(min(standing.children for standing in tables))
    names = [standing.task for standing in tables]
    counts = list(rows[0].normalised)
    opponents = list(dict.fromkeys(name for row in rows for name in row.better_than))
    drawn = ("profile", "improvement") if opponents else ("profile",)
    heads = ["agent", *(f"score at {count}" for count in counts)]
    heads += [f"better than {name}" for name in opponents]
    heads += ["found the best", "agent, ms per child"]
    return Section(
        "Over all tables",
        [
            f"Normalised scores after the given numbers of children, over {', '.join(names)}. "
            f"Agents are ranked by the score at {rank}; *better than* is after {rank} children."
        ],
        heads,
        [_overall_row(row, counts, opponents) for row in rows],
        {name: CAPTIONS[name].format(rank=rank) for name in drawn},
    )


def _overall_row(
    row: OverallStanding, counts: Sequence[int], opponents: Sequence[str]
) -> list[str]:
    scores = [_interval(row.normalised[count], 2, scale=100) for count in counts]
    better = [
        _interval(row.better_than[name], 2) if name in row.better_than else "" for name in opponents
    ]
    return [row.agent, *scores, *better, f"{row.hits:.0%}", f"{row.agent_ms:.1f}"]


def _task_section(standing: TaskStanding) -> Section:
    task = task_named(standing.task)
    options = "".join(f" {name}={value}" for name, value in task.options.items())
    runs = sorted({len(one.results) for one in standing.agents})
    best = "the best network of the table has" if standing.tabular else "the best child found has"
    note = (
        f"`{task.env}`{options}; {'–'.join(map(str, runs))} runs of {standing.children} children, "
        f"{task.num_envs} at a time; {best} {standing.best:.2%}. Regret in percentage points after "
        f"the given numbers of children. Agents are ranked by the regret at "
        f"{ranked_at(standing.children)}."
    )
    heads = ["agent", *(f"at {count}" for count in standing.checkpoints)]
    heads += [f"mean at {count}" for count in _means_at(standing)]
    heads += ["children to the best", "found it", "different", "agent, ms per child", "children, s"]
    rows = [_task_row(one, standing) for one in standing.agents]
    figure = {regret_of(standing.task): CAPTIONS["regret"].format(task=standing.task)}
    return Section(standing.task, [note], heads, rows, figure)


def _task_row(one: AgentOnTask, standing: TaskStanding) -> list[str]:
    return [
        one.agent,
        *(_interval(one.regret(count), 3) for count in standing.checkpoints),
        *(f"{one.mean_regret(count):.3f}" for count in _means_at(standing)),
        f"{one.median_children:g}" if isfinite(one.median_children) else "–",
        f"{one.hits:.0%}",
        f"{one.unique:.0f}",
        f"{one.agent_ms:.1f}",
        f"{one.children_seconds:,.0f}",
    ]


def _means_at(standing: TaskStanding) -> list[int]:
    """Return the numbers of children after which the plain mean is shown too."""
    return sorted({ranked_at(standing.children), standing.children})


def _interval(interval: Interval, decimals: int, scale: float = 1.0) -> str:
    value, low, high = (f"{scale * number:.{decimals}f}" for number in interval)
    return f"{value}{BREAK}[{low}, {high}]"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
