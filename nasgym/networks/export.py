"""Export of trained networks to files that run without this package: torch.export or ONNX."""

import io
import logging
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from nasgym.errors import InvalidInput
from nasgym.files import replacing
from nasgym.networks.conv import ConvNetwork
from nasgym.networks.language import LanguageModel

FORMATS = ("pt2", "onnx")
"""Export formats, which are also the file suffixes."""

TOLERANCE = 1e-4
"""Maximum error of an output, relative to the largest output or to 1, whichever is larger."""

BATCHES = (1, 2, 5)
"""Batch sizes to check a file with."""

Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""A loaded file: maps inputs to outputs."""


class ExportError(InvalidInput):
    """The network cannot be exported as requested; the message is one line for the user."""


class LanguageModelStep(nn.Module):
    """A language model with its state as separate tensors, to run on a few tokens at a time.

    Maps tokens (time, n) and h and c of all layers, (layers, n, hidden) each, to logits (time, n,
    vocabulary) and the new h and c.
    """

    def __init__(self, model: LanguageModel) -> None:
        """Wrap `model`."""
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits after each token, and h and c after the last token."""
        logits, (h, c) = self.model(tokens, (h, c))
        return logits, h, c


def export_network(network: nn.Module, path: Path) -> float:
    """Export a ConvNetwork, or a LanguageModel as a `LanguageModelStep` of one token; see `export`.

    The exported ConvNetwork expects images that are standardised as in its training.
    """
    noise = torch.Generator().manual_seed(0)
    if isinstance(network, ConvNetwork):
        return export(network, [torch.randn(2, *network.input_shape, generator=noise)], path)
    if not isinstance(network, LanguageModel):
        raise ExportError(f"cannot export a {type(network).__name__}")
    words, hidden = network.embedding.weight.shape
    layers = len(network.recurrent.cells)
    tokens = torch.randint(words, (1, 2), generator=noise)
    state = [torch.rand(layers, 2, hidden, generator=noise) for _ in "hc"]
    return export(LanguageModelStep(network), [tokens, *state], path, batch=1)


def export(network: nn.Module, example: Sequence[Tensor], path: Path, batch: int = 0) -> float:
    """Write `network`, in evaluation mode, to `path` (.pt2 or .onnx); return its largest error.

    `example` holds inputs on the CPU; their dimension `batch` has any size in the file. The file is
    loaded again and run on batches of several sizes; the error is the largest difference between
    its outputs and those of the network. Raises ExportError and leaves no file if that is above
    TOLERANCE or a package is missing.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise ExportError(f"{path} must end in {' or '.join(f'.{name}' for name in FORMATS)}")
    network = _evaluation_copy(network)
    write, load = (_write_onnx, _load_onnx) if kind == "onnx" else (_write_pt2, _load_pt2)
    with torch.no_grad(), replacing(path) as part:
        write(network, example, part, batch)
        difference, scale = _largest_difference(network, load(part), example, batch)
        if not difference <= TOLERANCE * scale:
            raise ExportError(
                f"the exported network is off by {difference:.2g} in outputs up to {scale:.2g}: "
                f"{path} is not written"
            )
    return difference


def _evaluation_copy(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode, with the contiguous tensors that torch.export needs."""
    copy = deepcopy(network).eval().requires_grad_(False)
    for tensor in (*copy.parameters(), *copy.buffers()):
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
    return copy


def _largest_difference(
    network: nn.Module, run: Run, example: Sequence[Tensor], batch: int
) -> tuple[float, float]:
    """Return the largest difference between two outputs, and the largest output or 1."""
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
    content = io.BytesIO()  # torch's own writer ends the process if the disk is full
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
    logging.getLogger("torch.onnx").setLevel(
        logging.ERROR
    )  # it warns about torchvision, which is not needed
    sizes = [{batch: torch.export.Dim.AUTO} for _ in example]
    with warnings.catch_warnings(action="ignore"):  # about its internals
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
