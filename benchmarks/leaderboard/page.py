"""The page: what the leaderboard says, sheet by sheet."""

import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from math import isfinite

from nasgym.benchmarks.leaderboard.document import BREAK, Sheet
from nasgym.benchmarks.leaderboard.plots import regret_of
from nasgym.benchmarks.leaderboard.standings import (
    AgentOnTask,
    Estimate,
    Overall,
    TaskStanding,
    ranked_at,
)
from nasgym.benchmarks.leaderboard.tasks import task_named
from nasgym.execution.machine import processor

PACKAGES = ("nasgym", "gymnasium", "numpy", "torch", "stable-baselines3", "sb3-contrib")
"""Packages whose versions are told."""

TITLE = "Leaderboard"

CAPTIONS = {
    "regret": "Regret on {task}: interquartile means, 95 % intervals; at the foot none is left.",
    "profile": "The share of all runs that comes so close to the best in {rank} children: higher "
    "is better.",
    "improvement": "How likely a run of each agent is better than one of another after {rank} "
    "children, with 95 % intervals.",
}
"""What the figures show."""

METHOD = (
    "A *child* is an episode that ends in a network, also one that was proposed before; all agents "
    "have the same number of them. After each child a search would hand over its best network by "
    "reward so far, and that network is scored by its *clean* value: the table's mean over seeds "
    "at full training, whatever noise the reward has.",
    "* **regret**: how far that value is from the best of the table, in percentage points. Without "
    "a table the best is unknown: the reward is the value, and regret is against the best child "
    "that any run of any agent has found.",
    "* **children to the best**: after how many children a run first would have handed over the "
    "best network. The median counts runs that never did as infinite (–).",
    "* **normalised score**: 0 is the mean network of the table, 100 the best.",
    "* **[low, high]**: 95 % interval of a bootstrap that draws the runs of each task anew. "
    "Averages are interquartile means, where the best and the worst quarter of the runs do not "
    "count; *mean* is the plain one.",
    "* **better than**: the probability that a run is better than one of the other agent, ties "
    "counted half, averaged over tasks (0.5: no better and no worse).",
    "* **agent**: CPU milliseconds of the searching process for each child, the environment and "
    "the archive included. **children**: seconds that training the different networks of a run "
    "takes, simulated where the task is a table.",
)

RULES = (
    "* An agent is any class with `search(env, budget)` whose constructor takes `seed`; it sees "
    "the environment, its rewards and nothing else. Name it `package.module:Class`, or by its "
    "entry point in the group `nasgym.agents`.",
    "* One set of options for all tasks, all tasks of the tables above, the same budgets and "
    "seeds. Say how the options were chosen; the seeds of this page are not for tuning.",
    "* Run the command above with the agent added to `--agents`: finished runs are kept, only "
    "those of the new agent are played. Send `LEADERBOARD.md`, `leaderboard.html`, `scores.csv` "
    "and the figures that it writes.",
)


def sheets(
    standings: Sequence[TaskStanding],
    rows: Sequence[Overall],
    figures: Mapping[str, str],
    command: str,
) -> list[Sheet]:
    """Return all sheets: the standings and `figures`, and that `command` made them."""
    return [
        Sheet("What it shows", by_hand=True),
        *([_overall_sheet(rows, standings, figures)] if rows else []),
        *(_task_sheet(standing, figures) for standing in standings),
        Sheet("How it is measured", METHOD),
        Sheet("How it was made", _origin(command)),
        Sheet("How to add a row", RULES),
    ]


def _origin(command: str) -> list[str]:
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return [
        f"On {time.strftime('%d %B %Y')} with Python {platform.python_version()}, {versions}; "
        f"{processor()[0]}.",
        f"`{command}`",
    ]


def _overall_sheet(
    rows: Sequence[Overall], standings: Sequence[TaskStanding], figures: Mapping[str, str]
) -> Sheet:
    tables = [standing for standing in standings if standing.tabular]
    rank = ranked_at(min(standing.children for standing in tables))
    names = [standing.task for standing in tables]
    counts = list(rows[0].normalised)
    opponents = list(dict.fromkeys(name for row in rows for name in row.better_than))
    heads = ["agent", *(f"score at {count}" for count in counts)]
    heads += [f"better than {name}" for name in opponents]
    heads += ["found the best", "agent, ms a child"]
    return Sheet(
        "Over all tables",
        [
            f"Normalised scores after so many children, over {', '.join(names)}; agents in the "
            f"order of those at {rank}. *Better than* is after {rank} children."
        ],
        heads,
        [_overall_row(row, counts, opponents) for row in rows],
        {
            name: (CAPTIONS[name].format(rank=rank), figures[name])
            for name in ("profile", "improvement")
            if name in figures
        },
    )


def _overall_row(row: Overall, counts: Sequence[int], opponents: Sequence[str]) -> list[str]:
    scores = [_interval(row.normalised[count], 2, scale=100) for count in counts]
    better = [
        _interval(row.better_than[name], 2) if name in row.better_than else "" for name in opponents
    ]
    return [row.agent, *scores, *better, f"{row.hits:.0%}", f"{row.agent_ms:.1f}"]


def _task_sheet(standing: TaskStanding, figures: Mapping[str, str]) -> Sheet:
    task = task_named(standing.task)
    options = " ".join(f"{name}={value}" for name, value in task.options.items())
    runs = sorted({len(one.results) for one in standing.agents})
    best = "the best network of the table has" if standing.tabular else "the best child found has"
    noted = [
        f"`{task.env}` {options}; {'–'.join(map(str, runs))} runs of {standing.children} children, "
        f"{task.num_envs} at a time; {best} {standing.best:.2%}. Regret in percentage "
        f"points after so many children; agents in the order of that at "
        f"{ranked_at(standing.children)}."
    ]
    heads = ["agent", *(f"at {count}" for count in standing.checkpoints)]
    heads += [f"mean at {count}" for count in _means_at(standing)]
    heads += ["children to the best", "found it", "different", "agent, ms a child", "children, s"]
    rows = [_task_row(one, standing) for one in standing.agents]
    name = regret_of(standing.task)
    drawn = {name: (CAPTIONS["regret"].format(task=standing.task), figures[name])}
    return Sheet(standing.task, noted, heads, rows, drawn)


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
    """Return the numbers of children after which plain means are told too."""
    return sorted({ranked_at(standing.children), standing.children})


def _interval(estimate: Estimate, decimals: int, scale: float = 1.0) -> str:
    value, low, high = (f"{scale * number:.{decimals}f}" for number in estimate)
    return f"{value}{BREAK}[{low}, {high}]"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
