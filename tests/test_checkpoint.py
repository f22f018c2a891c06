"""Checkpoints: what was saved comes back to the bit, and a wrong bit anywhere is noticed."""

from pathlib import Path

import pytest
import torch

from nasgym.training.checkpoint import CheckpointError, load, save

WEIGHTS = torch.arange(6.0).view(2, 3)
REST = {"rng": {"state": 2**100 + 1}, "curve": [0.1]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(tmp_path / "checkpoint.pt", {"weights": WEIGHTS, **REST}, "me")
    return tmp_path / "checkpoint.pt"


def test_what_was_saved_comes_back(path: Path) -> None:
    state = load(path, "me")
    assert torch.equal(state.pop("weights"), WEIGHTS)
    assert state == REST
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_flipped_bit_is_noticed_wherever_it_is(path: Path) -> None:
    whole = path.read_bytes()
    places = [*range(100), *range(100, len(whole), 37), len(whole) - 1]
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(CheckpointError, match=r"checkpoint\.pt is damaged"):
            load(path, "me")


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_noticed(share: float, path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt is damaged"):
        load(path, "me")


def test_another_trainings_file_is_refused(path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt belongs to another training"):
        load(path, "you")
