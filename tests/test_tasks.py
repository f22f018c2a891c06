import pytest

from nasgym.benchmarks.leaderboard.naming import file_name, parse_name
from nasgym.benchmarks.leaderboard.tasks import TASKS, BenchmarkTask, task_named
from nasgym.commands import leaderboard
from nasgym.environments.registry import ENVIRONMENTS


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("random", "random", {}),
        ("reinforce:preset=short", "reinforce", {"preset": "short"}),
        ("evolution:population=10,sample=3", "evolution", {"population": 10, "sample": 3}),
        ("package.module:Class", "package.module:Class", {}),
        (
            "package.module:Class:rate=0.1,on=true",
            "package.module:Class",
            {"rate": 0.1, "on": True},
        ),
        ("module:Mine-v0:sizes=[1,2],name=a:b", "module:Mine-v0", {"sizes": [1, 2], "name": "a:b"}),
    ],
)
def test_options_begin_after_the_colon_before_an_option(
    text: str, name: str, options: object
) -> None:
    assert parse_name(text) == (name, options)


def test_file_names_hold_no_path_separators() -> None:
    assert file_name("../a b:c/d=1.5,e") == "..-a-b-c-d=1.5-e"


@pytest.mark.parametrize("task", TASKS.values(), ids=str)
def test_tasks_name_registered_environments(task: BenchmarkTask) -> None:
    assert task.env in ENVIRONMENTS
    assert task_named(task.name) == task


def test_default_tasks_are_known() -> None:
    assert set(leaderboard.TASKS) <= set(TASKS)


def test_a_tasks_own_options_do_not_reach_its_environment() -> None:
    task = task_named("NAS-Digits-v0:epochs=3,num_envs=4,seeds=2,children=20")
    assert (task.env, task.env_options(7)) == ("NAS-Digits-v0", {"epochs": 3})
    assert (task.num_envs, task.seeds, task.children) == (4, 2, 20)


def test_known_task_takes_further_options() -> None:
    task = task_named("digits:seeds=5")
    assert task.seeds == 5
    assert task.env_options(0) == TASKS["digits"].env_options(0)


def test_noise_differs_between_runs() -> None:
    task = task_named("digits-table/noisy")
    assert task.env_options(3) == {"noise": "seed", "seed": 3}


@pytest.mark.parametrize("option", ["num_envs=0", "seeds=-1", "children=many"])
def test_impossible_numbers_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        task_named(f"digits:{option}")
