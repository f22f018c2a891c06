"""Checkpoints return the saved bits, and only to the training they belong to.

tests/faults/test_checkpoints.py covers damaged files.
"""

from pathlib import Path

import pytest
import torch

from nasgym.training.final.checkpoint import CheckpointError, load, save

WEIGHTS = torch.arange(6.0).view(2, 3)
REST = {"rng": {"state": 2**100 + 1}, "curve": [0.1]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(tmp_path / "checkpoint.pt", {"weights": WEIGHTS, **REST}, "me")
    return tmp_path / "checkpoint.pt"


def test_a_saved_state_comes_back(path: Path) -> None:
    state = load(path, "me")
    assert torch.equal(state.pop("weights"), WEIGHTS)
    assert state == REST
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_another_trainings_file_is_refused(path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt belongs to another training"):
        load(path, "you")
