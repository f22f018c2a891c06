"""Presets are the paper's searches, number by number; what is given on the command line wins."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from nasgym.agents import make
from nasgym.agents.reinforce.asynchronous import PRESETS, AsynchronousSettings
from nasgym.commands import search as commands
from nasgym.commands.main import main
from nasgym.commands.search import Search
from nasgym.environments.options import ImageOptions, TextOptions
from nasgym.search import estimate as cost
from nasgym.search.paper import COSTS, SEARCHES, filled
from nasgym.search.plan import Plan, SearchError
from nasgym.search.run import Run
from nasgym.spaces import ConvSpace, RecurrentSpace
from nasgym.training.image.recipe import IMAGE_RECIPES
from nasgym.training.text.recipe import TEXT_RECIPES

QUICK = {
    "paper-cifar10": {"data": "digits", "train_size": 100, "valid_size": 20, "workers": 0},
    "paper-ptb": {"corpus": "documentation", "workers": 0},
}
"""Options that let the environments be made with data that need not be fetched."""


@pytest.mark.parametrize("name", SEARCHES)
def test_every_option_is_written_out_and_known(name: str) -> None:
    plan = SEARCHES[name]
    known = TextOptions if "corpus" in plan.options else ImageOptions
    assert set(plan.env_options) <= set(known.types())
    assert {"recipe", "epochs", "reward"} <= set(plan.env_options)
    assert {"lr", "hidden", "batch"} <= set(plan.agent_options)
    make(plan.agent, plan.seed, **plan.agent_options)
    assert json.loads(json.dumps(plan.env_options)) == plan.env_options
    assert set(COSTS) == set(SEARCHES)


def environment(name: str) -> Any:
    options = {**SEARCHES[name].env_options, **QUICK[name]}
    return closing(gym.make(SEARCHES[name].env, **options).unwrapped)


def test_cifar10_is_the_paper_s() -> None:
    plan = SEARCHES["paper-cifar10"]
    assert (plan.children, plan.num_envs, plan.agent) == (12_800, 8, "reinforce_async")
    agent: Any = make(plan.agent, **plan.agent_options)
    paper = AsynchronousSettings(
        lr=0.0006, batch=8, hidden=35, shards=20, replicas=100, accumulate=1
    )
    assert agent.settings == paper == PRESETS["paper-cifar10"]
    options = plan.env_options
    assert options["train_size"] == 45_000 and options["valid_size"] == 5_000
    assert options["reward"] == "accuracy_cubed" and options["epochs"] == 50
    assert IMAGE_RECIPES[options["recipe"]].judged_epochs == 5
    with environment("paper-cifar10") as env:
        assert env.study.ceiling.space == ConvSpace(
            layers=6,
            max_layers=20,
            filter_heights=(1, 3, 5, 7),
            filter_widths=(1, 3, 5, 7),
            filters=(24, 36, 48, 64),
            strides=(1,),
        )
        ceilings = []
        for begun in range(0, plan.children, 1600):
            env.study.resume(begun)
            ceilings.append(env.study.space.layers)
    assert ceilings == [6, 8, 10, 12, 14, 16, 18, 20]


def test_ptb_is_the_paper_s() -> None:
    plan = SEARCHES["paper-ptb"]
    assert (plan.children, plan.num_envs, plan.agent) == (15_000, 8, "reinforce_async")
    agent: Any = make(plan.agent, **plan.agent_options)
    paper = AsynchronousSettings(
        lr=0.0005, batch=1, hidden=35, shards=20, replicas=400, accumulate=10
    )
    assert agent.settings == paper == PRESETS["paper-ptb"]
    options = plan.env_options
    assert (options["epochs"], options["parameters"]) == (35, 20_000_000)
    assert options["reward"] == "perplexity" and options["reward_constant"] == 80
    recipe = TEXT_RECIPES[options["recipe"]]
    assert recipe.layers == 2 and recipe.embedding_dropout > 0 and recipe.recurrent_dropout > 0
    with environment("paper-ptb") as env:
        space = env.study.ceiling.space
    assert isinstance(space, RecurrentSpace)
    assert (space.max_length, space.size) == (34, 8**16 * 15**2)


def test_what_it_cost_the_authors() -> None:
    assert COSTS["paper-cifar10"].hours == 537_600
    assert "537,600 GPU-hours, 800 children" in COSTS["paper-cifar10"].text()
    assert COSTS["paper-ptb"].hours is None
    assert "not stated, 400 children" in COSTS["paper-ptb"].text()


def plan_of(folder: Path, **options: Any) -> Plan:
    return Search(out=folder, **options)._run().plan


def test_options_override_one_by_one(tmp_path: Path) -> None:
    paper = SEARCHES["paper-cifar10"]
    assert plan_of(tmp_path, preset="paper-cifar10") == paper
    plan = plan_of(
        tmp_path,
        preset="paper-cifar10",
        children=20,
        seed=3,
        workers=2,
        set=(("epochs=2",),),
        agent_set=(("lr=0.01",),),
    )
    assert (plan.children, plan.seed, plan.workers, plan.num_envs) == (20, 3, 2, 8)
    assert plan.env_options == {**paper.env_options, "epochs": 2}
    assert plan.agent_options == {**paper.agent_options, "lr": 0.01}
    assert plan_of(tmp_path, preset="paper-cifar10", agent="reinforce_async") == paper


def test_another_agent_gets_none_of_the_controller_s_options(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, preset="paper-ptb", agent="random")
    assert plan.agent == "random" and plan.agent_options == {}
    assert plan.env_options == SEARCHES["paper-ptb"].env_options


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="'paper' is none of paper-cifar10, paper-ptb"):
        filled("paper", {})
    with pytest.raises(ValueError, match="'paper-ptb' searches NAS-PTB-v0: leave NAS-Text-v0 out"):
        filled("paper-ptb", {"env": "NAS-Text-v0"})


def test_a_run_with_a_preset_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the command is repeated; its estimate comes once, before the first child."""
    here = cost.Cost(2, epochs=1, samples=200, seconds_a_sample=1.0, workers=1, device="cpu")
    monkeypatch.setattr(commands, "estimate", lambda plan, evaluator: here)
    options = ("data=digits", "space=digits", "layers=2", "max_layers=2", "epochs=1")
    sizes = ("train_size=200", "valid_size=20", "filters=[4,8]", "grow_by=0")
    preset = ("--preset", "paper-cifar10", "--agent", "random", "--children", "2", "--workers", "0")
    command = ["search", *preset, "--json", "--out", str(tmp_path), "--set", *options, *sizes]
    main(command)
    first = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert first[0]["estimate"]["here"]["hours"] == 400 / 3600
    assert first[0]["estimate"]["paper"]["hours"] == 537_600
    assert [line.get("child") for line in first[1:]] == [0, 1, None]
    main(command)
    (summary,) = capsys.readouterr().out.splitlines()
    assert json.loads(summary)["children"] == 2
    assert Run(tmp_path).plan.env_options["filters"] == [4, 8]
    with pytest.raises(SearchError, match="holds a run with"):
        plan_of(tmp_path, preset="paper-cifar10", agent="random")
