"""A search that is killed at any moment goes on as if it never had been."""

import functools
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.table import Seen
from tests.faults.tiers import Scale
from tests.killing import Account, Nest, archive_digest, first_line, start
from tests.processes import gone, grandchildren_of, until

AGENTS = ["random", "evolution", "reinforce", "ppo", "model_based"]
CHILDREN = "100"  # crosses the growth of the ceiling at 64
LONGEST = 0.2
"""Seconds that a search lives on at most after it has begun, or has finished a child."""


def arguments(folder: Path, agent: str) -> list[str]:
    options = ["population=10"] if agent == "evolution" else []
    return [str(folder), agent, CHILDREN, *options]


def command(folder: Path, agent: str) -> list[str]:
    return ["tests.free_search", *arguments(folder, agent)]


@pytest.fixture(scope="module")
def nest() -> Iterator[Nest]:
    nest = Nest(*AGENTS)
    yield nest
    nest.close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, nest: Nest) -> Callable[[str], str]:
    """The digest of an agent's run, never killed."""

    @functools.cache
    def digest(agent: str) -> str:
        folder = tmp_path_factory.mktemp(agent) / "run"
        go_on(nest, folder, agent)
        return archive_digest(folder / "archive.db")

    return digest


def go_on(nest: Nest, folder: Path, agent: str) -> None:
    """Bring a run to its end."""
    life = nest.begin(*arguments(folder, agent))
    assert life.end() == 0, life.errors


@pytest.mark.fault("F1", "kill -9 of the search at a random moment, until it is done")
@pytest.mark.parametrize("agent", AGENTS)
def test_f01_killed_at_random_and_resumed(
    agent: str,
    tmp_path: Path,
    nest: Nest,
    undisturbed: Callable[[str], str],
    scale: Scale,
    seed: int,
    seen: Seen,
) -> None:
    kills = scale(5, 100 if agent == "model_based" else 75)
    rng, account = random.Random(f"{seed} {agent}"), Account()
    runs = 0
    while account.kills < kills:
        folder = tmp_path / "run"
        account.follow(nest, arguments(folder, agent), kills - account.kills, rng, LONGEST)
        assert archive_digest(folder / "archive.db") == undisturbed(agent)
        shutil.rmtree(folder)
        (tmp_path / "run-trained").unlink()
        runs += 1
    seen(kills, f"{runs} runs, {account}; digests equal")


POINTS = [
    "mid_transaction:9",
    "before_commit:20",
    "after_commit:21",
    "mid_checkpoint",
    "mid_checkpoint:2",
    "mid_render",
]


@pytest.mark.fault("F2", "killed in a transaction, around a commit, in a checkpoint, in a figure")
@pytest.mark.parametrize("agent", AGENTS)
def test_f02_killed_at_named_points(
    agent: str, tmp_path: Path, nest: Nest, undisturbed: Callable[[str], str], seen: Seen
) -> None:
    folder = tmp_path / "run"
    for point in POINTS:
        life = nest.begin(*arguments(folder, agent), NASGYM_CRASH_AT=point)
        assert life.end() == -signal.SIGKILL, point
    go_on(nest, folder, agent)
    assert archive_digest(folder / "archive.db") == undisturbed(agent)
    assert not list(folder.glob(".*.part*"))
    seen(len(POINTS), "digest equal, no half file left")


@pytest.mark.fault("F5", "kill -9 of a search while two networks are being trained on digits")
def test_f05_killed_while_children_are_training(
    tmp_path: Path, scale: Scale, seed: int, seen: Seen
) -> None:
    rng, kills, search = random.Random(seed), scale(1, 10), ["nasgym.commands.main", "search"]
    search += ["NAS-Digits-v0", "--agent", "random", "--children", str(scale(4, 16))]
    search += ["--num-envs", "2", "--workers", "2", "--set", "epochs=2", "--out"]
    digests = []
    for killed in (0, kills):
        folder = tmp_path / str(killed)
        for _ in range(killed):
            process = start(*search, str(folder))
            assert until(lambda: len(grandchildren_of(process.pid)) == 2, 30)  # noqa: B023
            time.sleep(rng.uniform(0, 0.3))
            workers = grandchildren_of(process.pid)
            process.kill()
            process.communicate()
            assert until(lambda: gone(workers), 1)  # noqa: B023
        process = start(*search, str(folder))
        assert process.communicate()[1] == "" and process.returncode == 0
        digests.append(archive_digest(folder / "archive.db"))
    assert digests[0] == digests[1]
    seen(kills, "digests equal: every accuracy to the last bit")


@pytest.mark.fault("F15", "Ctrl-C, SIGTERM or SIGHUP in the middle of a search")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_f15_asked_to_stop(
    signum: signal.Signals,
    tmp_path: Path,
    nest: Nest,
    undisturbed: Callable[[str], str],
    seen: Seen,
) -> None:
    process = start(*command(tmp_path, "random"), SECONDS_A_CHILD="0.05")
    first_line(process, '{"child"')
    asked = time.monotonic()
    process.send_signal(signum)
    output, _ = process.communicate()
    took = time.monotonic() - asked
    assert took < 5
    assert process.returncode == 128 + signum
    assert f"nasgym search --out {tmp_path}" in output
    go_on(nest, tmp_path, "random")
    assert archive_digest(tmp_path / "archive.db") == undisturbed("random")
    seen(1, f"ended after {took:.2f} s with {128 + signum}, said how to go on; digest equal")


@pytest.mark.fault("F15", "a second Ctrl-C, while the first one is waited for")
def test_f15_a_second_signal_ends_at_once(tmp_path: Path, seen: Seen) -> None:
    process = start("tests.faults.stubborn")
    first_line(process, "START")
    process.send_signal(signal.SIGINT)
    first_line(process, "INTERRUPTED")
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate()
    took = time.monotonic() - asked
    assert process.returncode == 128 + signal.SIGINT and took < 1
    seen(1, f"ended after {took:.2f} s with 130")


@pytest.mark.fault("F22", "a second search in the folder of one that runs")
def test_f22_a_second_process_is_refused(tmp_path: Path, nest: Nest, seen: Seen) -> None:
    first = start(*command(tmp_path, "random"), SECONDS_A_CHILD="0.05")
    first_line(first, '{"child"')
    second = nest.begin(*arguments(tmp_path, "random"))
    assert second.end() == 2
    said = f"process {first.pid} is searching in {tmp_path}: wait for it or stop it"
    assert second.errors == f"nasgym: {said}\n"
    first.kill()
    first.communicate()
    go_on(nest, tmp_path, "random")
    seen(1, "refused in one line with the pid; goes on at once when the first is killed")


STRANGE = {"TZ": "Asia/Kathmandu", "LANG": "tr_TR.UTF-8", "HOME": "/"}


@pytest.mark.fault("F29", "another hash seed, time zone, language, folder and process")
@pytest.mark.parametrize("agent", AGENTS)
def test_f29_the_same_seed_gives_the_same_run(
    agent: str,
    tmp_path: Path,
    undisturbed: Callable[[str], str],
    scale: Scale,
    seen: Seen,
) -> None:
    hash_seeds = scale(["1"], ["0", "1", "2"])
    for hash_seed in hash_seeds:
        folder = tmp_path / hash_seed
        strange = STRANGE | {"PYTHONHASHSEED": hash_seed}
        process = start(*command(folder, agent), cwd=tmp_path, **strange)
        assert process.communicate()[1] == "" and process.returncode == 0
        assert archive_digest(folder / "archive.db") == undisturbed(agent)
    seen(len(hash_seeds), "digests equal")
