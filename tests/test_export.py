"""Exports: the file gives the outputs of the network; a file that does not is deleted."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nasgym.networks import build, zoo
from nasgym.networks.export import ExportError, export, export_network
from nasgym.spaces import ConvArchitecture, ConvLayer, Node, RecurrentArchitecture
from nasgym.spaces.plain import plain
from tests.command_line import run

NETWORK = ConvArchitecture(
    (ConvLayer(3, 3, 4, stride_height=2), ConvLayer(1, 3, 6), ConvLayer(3, 1, 4, inputs=(1, 2)))
)
CELL = RecurrentArchitecture(
    (Node("max", "tanh"), Node("elem_mult", "sin"), Node("add", "sigmoid")),
    Node("add", "relu"),
    1,
    0,
)


@pytest.fixture(params=["pt2", "onnx"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    return str(request.param)


def test_a_convolutional_network_goes_round(tmp_path: Path, kind: str) -> None:
    network = build(NETWORK, (3, 9, 7), 5)
    network(torch.rand(8, 3, 9, 7))  # so that the batch normalisation knows its data
    difference = export_network(network, tmp_path / f"net.{kind}")
    assert difference < 1e-5
    assert (tmp_path / f"net.{kind}").stat().st_size > 1000


@pytest.mark.parametrize("cell", [CELL, zoo.LSTM], ids=["tree", "lstm"])
def test_a_language_model_goes_round(
    tmp_path: Path, cell: RecurrentArchitecture, kind: str
) -> None:
    model = build(cell, 11, 4, init=1.0)
    assert export_network(model, tmp_path / f"net.{kind}") < 1e-5


def test_a_file_speaks_a_text_token_by_token(tmp_path: Path) -> None:
    model = build(CELL, 11, 4, init=1.0)
    export_network(model, tmp_path / "net.pt2")
    step = torch.export.load(tmp_path / "net.pt2").module()
    tokens = torch.arange(10).view(5, 2)
    h, c = torch.zeros(2, 2, 4), torch.zeros(2, 2, 4)
    said = []
    for token in tokens:
        logits, h, c = step(token[None], h, c)
        said.append(logits)
    torch.testing.assert_close(torch.cat(said), model(tokens)[0])


class Forgetful(nn.Module):
    """Gives another output at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = 0

    def forward(self, images: Tensor) -> Tensor:
        self.looked += 1
        return images * float(self.looked)


def test_a_file_that_differs_is_not_left(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    with pytest.raises(ExportError, match="is off by"):
        export(Forgetful(), [torch.ones(2, 3)], path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ExportError, match=r"must end in \.pt2 or \.onnx"):
        export(nn.Linear(1, 1), [], tmp_path / "net.pth")
    with pytest.raises(ExportError, match="cannot export a Linear"):
        export_network(nn.Linear(1, 1), path)


@pytest.mark.parametrize("architecture", [NETWORK, CELL], ids=["images", "text"])
def test_the_command_exports_what_was_tested(
    architecture: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.json").write_text(json.dumps(plain(architecture)))
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat and saw the dog run\n" * 300)
    data = ["data=digits"] if architecture is NETWORK else [f"corpus={text}", "parameters=3000"]
    folder = tmp_path / "final"
    train = ("train", str(tmp_path / "net.json"), "--epochs", "1", "--recipe", "short")
    code, _, err = run(capsys, *train, "--out", str(folder), "--set", *data)
    assert (code, err) == (0, "")
    code, out, err = run(capsys, "export", str(folder), "--json")
    assert (code, err) == (0, "") and json.loads(out)["difference"] < 1e-4
    weights = torch.load(folder / "weights.pt", weights_only=True)
    exported = torch.export.load(folder / "network.pt2").state_dict
    for name, value in weights.items():
        if name in exported or f"model.{name}" in exported:
            torch.testing.assert_close(exported.get(name, exported.get(f"model.{name}")), value)
    for arguments, message in (
        ((str(tmp_path),), "no finished `nasgym train`"),
        ((str(folder), "--format", "zip"), "must be one of pt2, onnx"),
        ((str(folder), "--out", "net.onnx"), "must end in .pt2"),
    ):
        code, _, err = run(capsys, "export", *arguments)
        assert code == 2 and message in err and err.count("\n") == 1
