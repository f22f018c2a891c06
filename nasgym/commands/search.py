"""`nasgym search`: search for networks, or resume a search."""

import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from nasgym.agents import Agent, load
from nasgym.archive import Archive, Trial
from nasgym.commands.console import OUT, SearchDisplay, say
from nasgym.commands.flags import OptionPairs, default
from nasgym.environments.study import Study
from nasgym.errors import InvalidInput
from nasgym.evaluation.evaluation import score
from nasgym.options import check_options, parse_options, types_of
from nasgym.search import paper
from nasgym.search.estimate import Cost, announcement, can_estimate, estimate, time_left
from nasgym.search.plan import Plan, SearchError
from nasgym.search.run import Run
from nasgym.search.signals import Interrupted
from nasgym.tracking import BackgroundMirror, Mirror, create_mirrors


@dataclass(frozen=True)
class Search:
    """Search for networks, or resume a search that was stopped."""

    env: Annotated[
        str | None,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="[ENV]", help_behavior_hint="(default: that of --preset or --out)"),
    ] = None
    """Environment to search: see `nasgym envs`."""
    preset: str | None = None
    """A search of the paper: paper-cifar10 or paper-ptb. Other flags override its options."""
    estimate: bool = False
    """Print the expected cost of the search on this machine, and stop."""
    agent: Annotated[str | None, default("reinforce")] = None
    """Agent that searches: see `nasgym agents`."""
    children: Annotated[int | None, default("200")] = None
    """Budget: number of children to finish."""
    seconds: Annotated[float | None, default("no limit")] = None
    """Budget: sum of the children's seconds of training; tables count recorded seconds."""
    workers: Annotated[int | str | None, default("one per core")] = None
    """Children trained at the same time, or a cluster: ray, auto or ray://HOST:PORT.
    The results do not depend on it."""
    out: Annotated[Path | None, default("runs/ENV-AGENT-SEED or runs/PRESET-AGENT-SEED")] = None
    """Folder of the run; a run that it holds is resumed."""
    seed: Annotated[int | None, default("0")] = None
    """Seed of the agent. Children have a seed of their own: --set seed=..."""
    num_envs: Annotated[int | None, default("8")] = None
    """Children proposed and trained as one batch."""
    asynchronous: bool = False
    """Propose a child as soon as a worker is free, instead of in batches."""
    set: OptionPairs = ()
    """Options of the environment, such as layers=8 epochs=3: see `nasgym envs ENV`."""
    agent_set: OptionPairs = ()
    """Options of the agent, such as preset=short: see `nasgym agents AGENT`."""
    wandb: str | None = None
    """Also show the children in Weights & Biases: offline or online."""
    tensorboard: bool = False
    """Also write the children for TensorBoard, to OUT/tensorboard."""
    json: bool = False
    """Print one JSON object per line instead of text."""

    def main(self) -> None:
        """Run the search and print its result."""
        run = self._run()
        mirrors = create_mirrors(self.wandb, self.tensorboard, run.folder, asdict(run.plan))
        try:
            if self.estimate:
                self._print_estimate(estimate(run.plan))
                return
            agent = self._search(run, mirrors)
        except Interrupted as interrupt:
            say(
                f"stopped by {interrupt}; finished children are kept. Resume with:\n  {run.command}"
            )
            sys.exit(128 + interrupt.signum)
        except KeyboardInterrupt:  # before the first child
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
        """Return the run in the folder, or a new one. Raises InvalidInput for wrong options."""
        given = self._given_fields()
        folder = self.out or self._default_folder()
        if (folder / "search.json").exists():
            known = Run(folder).plan
            for name in ("env_options", "agent_options"):  # an option not given keeps its value
                if name in given and given.get("agent", known.agent) == known.agent:
                    given[name] = {**getattr(known, name), **given[name]}
            plan = replace(known, **given)
        elif "env" in given:
            plan = Plan(**{"agent": "reinforce", "children": 200, **given})
        else:
            return Run(folder)
        plan.problem()
        check_options(plan.agent_options, types_of(load(plan.agent)), f"agent {plan.agent!r}")
        return Run(folder, plan)

    def _given_fields(self) -> dict[str, Any]:
        """Return the fields of the plan that the command line sets."""
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
            if "seed" in given["agent_options"]:
                raise InvalidInput("give the seed of the agent as --seed, not in --agent-set")
        return given if self.preset is None else paper.filled(self.preset, given)

    def _default_folder(self) -> Path:
        searched = self.preset or self.env
        if searched is None:
            raise SearchError("name an environment (see: nasgym envs), or a run with --out FOLDER")
        return Path("runs") / f"{Path(searched).name}-{self.agent or 'reinforce'}-{self.seed or 0}"

    def _print_estimate(self, here: Cost) -> None:
        """Print the cost of the search here and, for a preset, its cost to the authors."""
        authors = paper.COSTS.get(self.preset or "")
        if self.json:
            known = None if authors is None else authors.to_plain()
            print(json.dumps({"estimate": {"here": here.to_plain(), "paper": known}}), flush=True)
            return
        say(f"here: {here.text()}")
        if authors is not None:
            say(f"in the paper: {authors.text()}")

    def _announce(self, run: Run, study: Study, display: SearchDisplay) -> None:
        """Print what the search trains, where, and when it is expected to end."""
        done, plan = len(study.archive), run.plan
        if done >= plan.children or (self.json and (done or self.preset is None)):
            return
        if done:
            counts = f"{done} of {plan.children} children are done"
            display.write(f"resuming {run.folder}: {counts}{time_left(plan, study)}")
            return
        cost = None
        if can_estimate(plan):
            status = OUT.status("estimating the duration") if OUT.is_terminal else nullcontext()
            with status, suppress(SearchError):  # the search itself may succeed
                cost = estimate(plan, study.evaluator)
        if not self.json:
            display.write(announcement(plan, study, cost))
        if cost is not None and (self.json or self.preset is not None):
            self._print_estimate(cost)

    def _search(self, run: Run, mirrors: Sequence[Mirror]) -> Agent:
        with ExitStack() as stack:

            def listeners(study: Study) -> list[Callable[[Trial], None]]:
                done, best = len(study.archive), study.archive.best()
                display = SearchDisplay(done, run.plan.children, best, OUT, as_json=self.json)
                self._announce(run, study, display)
                stack.enter_context(display.live())
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
            f"\nbest network   {folder}/best.json, {folder}/best.png"
            f"\nall children   {summary['archive']}"
            f"\nfigures        {folder}/rewards.png, {folder}/policy.png"
            f"\nreport         {folder}/report.html"
            f"\nshow more      nasgym show {folder}"
        )
