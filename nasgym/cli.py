"""The command line: `nasgym search`, `show`, `envs`, `agents` and `data`."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import tyro
from rich.console import Console
from rich.table import Table

from nasgym.agents import Agent
from nasgym.archive import Archive, ArchiveError, Trial
from nasgym.display import Display, Progress, downloading
from nasgym.search import Interrupted, Plan, Run, SearchError
from nasgym.task import ReplayError, Task
from nasgym.tracking import WandbMirror
from nasgym.workers import WorkerError

OUT = Console(highlight=False)

MISTAKES = (
    ValueError,
    OSError,
    ArchiveError,
    ReplayError,
    SearchError,
    WorkerError,
    gym.error.Error,
)
"""What a user can cause and mend: shown as one line, without a traceback."""


@dataclass(frozen=True)
class Search:
    """Search for networks, or go on with a search that was stopped."""

    env: Annotated[str | None, tyro.conf.Positional] = None
    """Id of the environment: see `nasgym envs`."""
    agent: str | None = None
    """Name of the agent: see `nasgym agents`. [reinforce]"""
    children: int | None = None
    """Budget: children to train. [200]"""
    workers: int | None = None
    """Children trained at the same time; does not change what is found. [one a core]"""
    out: Path | None = None
    """Folder of the run. [runs/ENV-AGENT-SEED]"""
    seed: int | None = None
    """Seed of the agent; `--set seed=...` is the children's. [0]"""
    num_envs: int | None = None
    """Children proposed at a time and trained as one batch. [8]"""
    set: tuple[str, ...] = ()
    """Options of the environment, such as layers=8 epochs=3."""
    agent_set: tuple[str, ...] = ()
    """Options of the agent, such as preset=short."""
    wandb: str | None = None
    """Mirror the trials in Weights & Biases: offline or online."""
    json: bool = False
    """Print one JSON object a line instead of text."""

    def main(self) -> None:
        """Run the search and say what it found."""
        run = self._run()
        try:
            agent = self._go(run)
        except Interrupted as interrupt:
            _say(f"stopped by {interrupt}; nothing finished is lost. Go on with:\n  {run.command}")
            sys.exit(128 + interrupt.signum)
        with closing(run.archive()) as archive:
            run.write_best(archive)
            from nasgym.figures import write_figures

            write_figures(run.folder, archive, agent.entropy())
            summary = _summary(run, archive)
        print(json.dumps(summary)) if self.json else _print_summary(summary)

    def _run(self) -> Run:
        given: dict[str, Any] = {
            name: value
            for name in ("env", "agent", "children", "workers", "seed", "num_envs")
            if (value := getattr(self, name)) is not None
        }
        if self.set:
            given["env_options"] = parse_options(self.set)
        if self.agent_set:
            given["agent_options"] = parse_options(self.agent_set)
        folder = self.out or self._default_folder()
        if (folder / "search.json").exists():
            return Run(folder, replace(Run(folder).plan, **given))
        if self.env is None:
            return Run(folder)
        return Run(folder, Plan(**{"agent": "reinforce", "children": 200, **given}))

    def _default_folder(self) -> Path:
        if self.env is None:
            raise SearchError("name an environment (see: nasgym envs), or a run with --out FOLDER")
        return Path("runs") / f"{Path(self.env).name}-{self.agent or 'reinforce'}-{self.seed or 0}"

    def _go(self, run: Run) -> Agent:
        with ExitStack() as stack:

            def listeners(task: Task) -> list[Callable[[Trial], None]]:
                done, budget = len(task.archive), run.plan.children
                if done and done < budget and not self.json:
                    _say(f"going on in {run.folder}: {done} of {budget} children are done")
                progress = Progress(done, budget, task.archive.best())
                display = stack.enter_context(Display(progress, OUT, as_json=self.json))
                if self.wandb is None:
                    return [display.show]
                mirror = WandbMirror(self.wandb, run.folder, asdict(run.plan))
                stack.callback(mirror.close)
                return [display.show, mirror.show]

            return run.search(listeners)


@dataclass(frozen=True)
class Show:
    """Show the best networks of a run, or one architecture, as text and picture."""

    path: Annotated[Path, tyro.conf.Positional]
    """A run's folder, or a file with an architecture as JSON."""
    top: int = 5
    """How many children of a run to list."""
    picture: Path | None = None
    """Where to draw the network, as .png, .svg or .pdf. [the run's best.png]"""
    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """Show a run or an architecture."""
        from nasgym import drawing
        from nasgym.figures import drawable
        from nasgym.files import replacing

        if self.path.is_dir():
            architecture, heading = self._run()
        else:
            architecture, heading = _read_architecture(self.path), ""
        if self.json:
            print(heading or json.dumps(architecture))
        else:
            OUT.print(heading, end="")
            print(drawing.text(drawable(architecture)))
        if self.picture is not None:
            with replacing(self.picture) as part:
                drawing.figure(drawable(architecture)).savefig(part)

    def _run(self) -> tuple[Any, Any]:
        with closing(Archive(self.path / "archive.db", read_only=True)) as archive:
            ranked = sorted(archive, key=lambda trial: -trial.reward)
            children = {json.dumps(trial.architecture): trial for trial in reversed(ranked)}
        top = sorted(children.values(), key=lambda trial: -trial.reward)[: self.top]
        if not top:
            raise SearchError(f"no child of {self.path} is finished yet")
        if self.json:
            return top[0].architecture, json.dumps([asdict(trial) for trial in top])
        table = Table("child", "reward", "accuracy", "parameters", "seconds", "status", box=None)
        for trial in top:
            table.add_row(*_cells(trial))
        with OUT.capture() as captured:
            OUT.print(f"{len(ranked)} children in {self.path}, the best {len(top)}:", table)
        return top[0].architecture, captured.get()


@dataclass(frozen=True)
class Envs:
    """List the environments."""

    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """List the ids with the options that set them apart."""
        from nasgym.registry import ENVIRONMENTS, OPTIONS

        if self.json:
            print(json.dumps(ENVIRONMENTS))
            return
        table = Table("environment", "its options", box=None)
        for name, options in ENVIRONMENTS.items():
            table.add_row(name, " ".join(f"{key}={value}" for key, value in options.items()))
        OUT.print(table)
        OUT.print("\nAll of them take --set NAME=VALUE with", ", ".join(OPTIONS))


@dataclass(frozen=True)
class Agents:
    """List the agents that are installed."""

    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """List names and classes."""
        from nasgym.agents import registered

        agents = {name: point.value for name, point in registered().items()}
        if self.json:
            print(json.dumps(agents))
            return
        table = Table("agent", "class", box=None)
        for name, value in agents.items():
            table.add_row(name, value)
        OUT.print(table)


@dataclass(frozen=True)
class Data:
    """List the data sets, or fetch one and verify it."""

    name: Annotated[str | None, tyro.conf.Positional] = None
    """The data set to fetch: cifar10."""

    def main(self) -> None:
        """List or fetch."""
        from nasgym.data import cifar10, data_folder

        if self.name is None:
            _say(f"the data folder is {data_folder()} (set NASGYM_DATA to have another)")
            _say("digits   comes with scikit-learn: nothing to fetch")
            unpacked = data_folder() / cifar10.FOLDER
            found = unpacked if unpacked.exists() else data_folder() / cifar10.ARCHIVE
            _say(f"cifar10  {found if found.exists() else 'missing: nasgym data cifar10'}")
            _say("images   yours: --set data=FILE.npz or a folder with one folder a class")
        elif self.name == "cifar10":
            with downloading(OUT) as progress:
                path = cifar10.download(progress)
            _say(f"CIFAR-10 is at {path}, whole")
        else:
            raise ValueError(f"{self.name!r} cannot be fetched; what can is cifar10")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 1 and one line on a user's mistake."""
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # the agent's small matrices gain nothing from more
    try:
        tyro.extras.subcommand_cli_from_dict(
            {
                "search": Search,
                "show": Show,
                "envs": Envs,
                "agents": Agents,
                "data": Data,
            },
            prog="nasgym",
            args=arguments,
            description="Neural architecture search as a reinforcement-learning environment.",
        ).main()
    except BrokenPipeError:
        sys.exit(1)
    except MISTAKES as mistake:
        if os.environ.get("NASGYM_TRACEBACK"):
            raise
        print(f"nasgym: {mistake}", file=sys.stderr)
        sys.exit(1)


def parse_options(pairs: Sequence[str]) -> Mapping[str, Any]:
    """Return "name=value" pairs as a dict; a value is read as JSON where it is JSON."""
    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"{pair!r} is no option: write NAME=VALUE")
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
    return options


def _read_architecture(path: Path) -> Any:
    """Return the plain architecture in a file: bare, or under "architecture" as in `best.json`."""
    try:
        data = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    return data.get("architecture", data) if isinstance(data, dict) else data


def _cells(trial: Trial) -> list[str]:
    parameters = trial.metrics.get("parameters")
    return [
        str(trial.number),
        f"{trial.reward:.4f}",
        f"{trial.accuracy:.2%}",
        "" if parameters is None else f"{parameters:,}",
        f"{trial.seconds:.1f}",
        trial.status,
    ]


def _summary(run: Run, archive: Archive) -> dict[str, Any]:
    best = archive.best()
    trials = list(archive)
    return {
        "folder": str(run.folder),
        "children": len(trials),
        "trained": sum(not trial.cached for trial in trials),
        "failed": sum(trial.status != "ok" for trial in trials),
        "best": None if best is None else asdict(best),
    }


def _print_summary(summary: Mapping[str, Any]) -> None:
    from nasgym import drawing
    from nasgym.figures import drawable

    best, folder = summary["best"], summary["folder"]
    _say(
        f"{summary['children']} children are done ({summary['trained']} trained, the others "
        f"proposed again; {summary['failed']} failed)"
    )
    if best is not None:
        _say(f"best: child {best['number']}, validation accuracy {best['accuracy']:.2%}\n")
        print(drawing.text(drawable(best["architecture"])))
        _say(
            f"\nits picture  {folder}/best.png\nits data     {folder}/best.json"
            f"\nthe search   {folder}/rewards.png, {folder}/policy.png, {folder}/archive.db"
            f"\nlook closer  nasgym show {folder}"
        )


def _say(text: str) -> None:
    OUT.print(text, soft_wrap=True, markup=False)


if __name__ == "__main__":
    main()
