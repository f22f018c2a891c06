"""A trained network as a file that runs without this package: torch.export or ONNX."""

import io
import logging
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from nasgym.files import replacing
from nasgym.networks.conv import ConvNetwork
from nasgym.networks.language import LanguageModel

FORMATS = ("pt2", "onnx")
"""What a network can be exported to, also the ends of the file's name."""

TOLERANCE = 1e-4
"""How far an output may be off, as a share of the largest, or of 1 if all are smaller."""

BATCHES = (1, 2, 5)
"""Sizes of the batches that a file is checked with."""

Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""What a loaded file does: inputs to outputs."""


class ExportError(ValueError):
    """A network that cannot be exported as asked; the message is one line for the user."""


class Step(nn.Module):
    """A language model one or a few tokens at a time, its state as plain tensors.

    Maps tokens (time, n) and h and c of every layer, (layers, n, hidden) each, to the logits (time,
    n, vocabulary) and the new h and c.
    """

    def __init__(self, model: LanguageModel) -> None:
        """Take the weights of `model`."""
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits after each token, and h and c after the last."""
        logits, (h, c) = self.model(tokens, (h, c))
        return logits, h, c


def export_network(network: nn.Module, path: Path) -> float:
    """Export a ConvNetwork, or a LanguageModel as a `Step` of one token; see `export`.

    A ConvNetwork reads images that are standardised as in its training.
    """
    noise = torch.Generator().manual_seed(0)
    if isinstance(network, ConvNetwork):
        return export(network, [torch.randn(2, *network.input_shape, generator=noise)], path)
    if not isinstance(network, LanguageModel):
        raise ExportError(f"there is no export of a {type(network).__name__}")
    words, hidden = network.embedding.weight.shape
    layers = len(network.recurrent.cells)
    tokens = torch.randint(words, (1, 2), generator=noise)
    state = [torch.rand(layers, 2, hidden, generator=noise) for _ in "hc"]
    return export(Step(network), [tokens, *state], path, batch=1)


def export(network: nn.Module, example: Sequence[Tensor], path: Path, batch: int = 0) -> float:
    """Write `network` to `path`, .pt2 or .onnx, to be evaluated; return how far it is off.

    `example` are its inputs on the CPU, whose dimension `batch` may have any size in the file. The
    file is loaded again and run on batches of several sizes; the greatest difference between an
    output and the network's is returned. Raises ExportError, and leaves no file, if it is above
    TOLERANCE or something is missing.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise ExportError(f"{path} must end in {' or '.join(f'.{name}' for name in FORMATS)}")
    network = _frozen(network)
    write, load = (_write_onnx, _load_onnx) if kind == "onnx" else (_write_pt2, _load_pt2)
    with torch.no_grad(), replacing(path) as part:
        write(network, example, part, batch)
        difference, scale = _compared(network, load(part), example, batch)
        if not difference <= TOLERANCE * scale:
            raise ExportError(
                f"the exported network is off by {difference:.2g} in outputs up to {scale:.2g}: "
                f"{path} is not written"
            )
    return difference


def _frozen(network: nn.Module) -> nn.Module:
    """Return a copy to evaluate, its tensors as torch.export wants them: whole and contiguous."""
    frozen = deepcopy(network).eval().requires_grad_(False)
    for tensor in (*frozen.parameters(), *frozen.buffers()):
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
    return frozen


def _compared(
    network: nn.Module, run: Run, example: Sequence[Tensor], batch: int
) -> tuple[float, float]:
    """Return the greatest difference of an output, and the greatest output or 1."""
    difference, scale = 0.0, 1.0
    for size in BATCHES:
        rows = torch.arange(size) % example[0].shape[batch]
        inputs = [part.index_select(batch, rows) for part in example]
        outputs = network(*inputs)
        expected = [outputs] if isinstance(outputs, Tensor) else outputs
        for one, other in zip(expected, run(inputs), strict=True):
            difference = max(difference, float((one - other).abs().max()))
            scale = max(scale, float(one.abs().max()))
    return difference, scale


def _write_pt2(network: nn.Module, example: Sequence[Tensor], path: Path, batch: int) -> None:
    sizes = [{batch: torch.export.Dim.AUTO} for _ in example]
    program = torch.export.export(network, tuple(example), dynamic_shapes=tuple(sizes))
    content = io.BytesIO()  # torch's own writer ends the process where a disk is full
    torch.export.save(program, content)
    path.write_bytes(content.getbuffer())


def _load_pt2(path: Path) -> Run:
    module = torch.export.load(path).module()

    def run(inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        outputs = module(*inputs)
        return [outputs] if isinstance(outputs, Tensor) else outputs

    return run


def _write_onnx(network: nn.Module, example: Sequence[Tensor], path: Path, batch: int) -> None:
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ExportError(f"ONNX needs {error.name}: pip install 'nasgym[onnx]'") from None
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, we do not
    sizes = [{batch: torch.export.Dim.AUTO} for _ in example]
    with warnings.catch_warnings(action="ignore"):  # its own, about its own insides
        torch.onnx.export(
            network,
            tuple(example),
            path,
            dynamic_shapes=tuple(sizes),
            external_data=False,
            verbose=False,
        )


def _load_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        arrays = [part.numpy() for part in inputs]
        return [
            torch.from_numpy(output)
            for output in session.run(None, dict(zip(names, arrays, strict=True)))
        ]

    return run
