"""`nasgym search`: search for networks, or go on with a search."""

import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from nasgym.agents import Agent
from nasgym.archive import Archive, Trial
from nasgym.commands.flags import OptionPairs
from nasgym.commands.live import Display, Progress
from nasgym.commands.terminal import OUT, say
from nasgym.environments.study import Study
from nasgym.evaluation.evaluation import score
from nasgym.options import parse_options
from nasgym.search import paper
from nasgym.search.estimate import Cost, announcement, can_estimate, estimate, time_left
from nasgym.search.plan import Plan, SearchError
from nasgym.search.run import Run
from nasgym.search.signals import Interrupted
from nasgym.tracking import BackgroundMirror, Mirror, create_mirrors


@dataclass(frozen=True)
class Search:
    """Search for networks, or go on with a search that was stopped."""

    env: Annotated[str | None, tyro.conf.Positional] = None
    """Id of the environment: see `nasgym envs`."""
    preset: str | None = None
    """Set all options as in the paper: paper-cifar10 or paper-ptb. Options given here replace
    them."""
    estimate: bool = False
    """Print the cost of the search on this machine, and stop."""
    agent: str | None = None
    """Name of the agent: see `nasgym agents`. [reinforce]"""
    children: int | None = None
    """Budget: children to train. [200]"""
    seconds: float | None = None
    """Budget: seconds of training; a table counts the seconds it recorded. [no limit]"""
    workers: int | str | None = None
    """Children trained at the same time; or a cluster: ray, auto or ray://HOST:PORT. The results
    do not depend on it. [one a core]"""
    out: Path | None = None
    """Folder of the run. [runs/ENV-AGENT-SEED or runs/PRESET-AGENT-SEED]"""
    seed: int | None = None
    """Seed of the agent. The children have their own: --set seed=... [0]"""
    num_envs: int | None = None
    """Children proposed and trained as one batch. [8]"""
    asynchronous: bool = False
    """Propose a string as soon as a worker is free, instead of in waves."""
    set: OptionPairs = ()
    """Options of the environment, such as layers=8 epochs=3: see `nasgym envs`."""
    agent_set: OptionPairs = ()
    """Options of the agent, such as preset=short: see `nasgym agents`."""
    wandb: str | None = None
    """Mirror the trials in Weights & Biases: offline or online."""
    tensorboard: bool = False
    """Mirror the trials in TensorBoard, as event files in OUT/tensorboard."""
    json: bool = False
    """Print one JSON object a line instead of text."""

    def main(self) -> None:
        """Run the search and say what it found."""
        run = self._run()
        mirrors = create_mirrors(self.wandb, self.tensorboard, run.folder, asdict(run.plan))
        try:
            if self.estimate:
                self._print_estimate(estimate(run.plan))
                return
            agent = self._go(run, mirrors)
        except Interrupted as interrupt:
            say(f"stopped by {interrupt}; nothing finished is lost. Go on with:\n  {run.command}")
            sys.exit(128 + interrupt.signum)
        except KeyboardInterrupt:  # nothing has begun
            sys.exit(128 + signal.SIGINT)
        with closing(run.archive()) as archive:
            run.write_best(archive)
            from nasgym.report import write_report
            from nasgym.report.figures import DRAWN, write_figures

            summary, best = _summary(run, archive), archive.best()
            trials = archive.outlines(DRAWN)
            write_figures(run.folder, trials, agent.entropy(), best=best)
            write_report([run], run.folder / "report.html")
        print(json.dumps(summary)) if self.json else _print_summary(summary, best)

    def _run(self) -> Run:
        given = self._given()
        folder = self.out or self._default_folder()
        if (folder / "search.json").exists():
            known = Run(folder).plan
            if "env_options" in given:  # those that are left out stay what they were
                given["env_options"] = {**known.env_options, **given["env_options"]}
            return Run(folder, replace(known, **given))
        if "env" not in given:
            return Run(folder)
        return Run(folder, Plan(**{"agent": "reinforce", "children": 200, **given}))

    def _given(self) -> dict[str, Any]:
        given: dict[str, Any] = {
            name: value
            for name in ("env", "agent", "children", "seconds", "workers", "seed", "num_envs")
            if (value := getattr(self, name)) is not None
        }
        if self.asynchronous:
            given["asynchronous"] = True
        if self.set:
            given["env_options"] = parse_options(self.set)
        if self.agent_set:
            given["agent_options"] = parse_options(self.agent_set)
        return given if self.preset is None else paper.filled(self.preset, given)

    def _default_folder(self) -> Path:
        searched = self.preset or self.env
        if searched is None:
            raise SearchError("name an environment (see: nasgym envs), or a run with --out FOLDER")
        return Path("runs") / f"{Path(searched).name}-{self.agent or 'reinforce'}-{self.seed or 0}"

    def _print_estimate(self, here: Cost) -> None:
        """Print the cost of the search here and, for a preset, what it cost its authors."""
        spent = paper.COSTS.get(self.preset or "")
        if self.json:
            authors = None if spent is None else spent.to_plain()
            print(json.dumps({"estimate": {"here": here.to_plain(), "paper": authors}}))
            return
        say(f"here: {here.text()}")
        if spent is not None:
            say(f"the paper's: {spent.text()}")

    def _announce(self, run: Run, study: Study) -> None:
        """Print what will be trained, where, and when it is expected to end."""
        done, plan = len(study.archive), run.plan
        if done >= plan.children or (done and self.json):
            return
        if done:
            left = time_left(plan, study)
            say(f"going on in {run.folder}: {done} of {plan.children} children are done{left}")
            return
        cost = estimate(plan, study.evaluator) if can_estimate(plan) else None
        if self.json and cost is not None:
            self._print_estimate(cost)
        if not self.json:
            say(announcement(plan, study, cost))
            if cost is not None and self.preset is not None:
                self._print_estimate(cost)

    def _go(self, run: Run, mirrors: Sequence[Mirror]) -> Agent:
        with ExitStack() as stack:

            def listeners(study: Study) -> list[Callable[[Trial], None]]:
                self._announce(run, study)
                progress = Progress(len(study.archive), run.plan.children, study.archive.best())
                display = stack.enter_context(Display(progress, OUT, as_json=self.json))
                return [
                    display.show,
                    *(_shown_in(mirror, run, study, stack) for mirror in mirrors),
                ]

            return run.search(listeners)


def _shown_in(mirror: Mirror, run: Run, study: Study, stack: ExitStack) -> Callable[[Trial], None]:
    """Return a listener that shows trials in `mirror`, which ends with `stack`."""
    best = study.archive.best()
    if best is not None:
        mirror.best = best.reward
    background = BackgroundMirror(mirror, first=len(study.archive))
    stack.callback(background.close)

    def show(trial: Trial) -> None:
        entropy = run.agent.entropy() if run.agent else []
        background.show(trial, entropy[-1][1] if entropy else None)

    return show


def _summary(run: Run, archive: Archive) -> dict[str, Any]:
    best, counts = archive.best(), archive.counts()
    return {
        "folder": str(run.folder),
        "archive": str(run.archive_path),
        "children": counts.trials,
        "trained": counts.trained,
        "found": counts.found,
        "failed": counts.failed,
        "best": None if best is None else asdict(best),
    }


def _print_summary(summary: Mapping[str, Any], best: Trial | None) -> None:
    from nasgym import drawing

    folder = summary["folder"]
    found = f"{summary['found']} found in the archive, " if summary["found"] else ""
    say(
        f"{summary['children']} children are done ({summary['trained']} trained, {found}the others "
        f"proposed again; {summary['failed']} failed)"
    )
    if best is not None:
        say(f"best: child {best.number}, validation {score(best)}\n")
        print(drawing.text(drawing.drawable(best.architecture)))
        say(
            f"\nits picture  {folder}/best.png\nits data     {folder}/best.json"
            f"\nthe search   {folder}/rewards.png, {folder}/policy.png, {summary['archive']}"
            f"\nthe report   {folder}/report.html"
            f"\nlook closer  nasgym show {folder}"
        )
