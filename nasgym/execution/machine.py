"""The machine, as far as the bits of a child's training depend on it; known without torch."""

import os
import platform
import runpy
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
"""Instructions with which training in bfloat16 is twice as fast; without them it is slower."""

BFLOAT16_CAPABILITY = 8.0
"""The first compute capability of NVIDIA GPUs with bfloat16."""

VECTORS = ("avx", "fma", "amx", "asimd", "sve", "bf16")
"""How the flags begin that say which of its kernels a library takes."""

OVERRIDES = ("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA")
"""Environment variables that have it take others."""


def resolve(device: str) -> str:
    """Return "cpu" or "cuda"; "auto" is a GPU if there is one and torch is built for it.

    Raises ValueError, in one line, for another device or one that is not there.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda', not {device!r}")
    usable = bool(gpus()) and torch_build()["cuda"] is not None
    if device == "cuda" and not usable:
        raise ValueError("device 'cuda' needs a GPU that nvidia-smi sees and a torch built for it")
    return "cuda" if usable and device != "cpu" else "cpu"


def precision(device: str) -> str:
    """Return the dtype, by torch's name, that children are fastest in on `device`."""
    if device == "cuda":
        able = min(float(gpu.rpartition(", ")[2]) for gpu in gpus()) >= BFLOAT16_CAPABILITY
    else:
        able = not BFLOAT16_FLAGS.isdisjoint(processor()[1])
    return "bfloat16" if able else "float32"


def description(device: str) -> dict[str, Any]:
    """Return what must be equal for a child to come out equal bit by bit, as plain data."""
    model, flags = processor()
    return {
        "torch": torch_build()["__version__"],
        "processor": model,
        "flags": [flag for flag in flags if flag.startswith(VECTORS)],
        "overrides": {name: os.environ[name] for name in OVERRIDES if name in os.environ},
        "gpus": gpus() if device == "cuda" else [],
    }


@cache
def processor() -> tuple[str, tuple[str, ...]]:
    """Return the model of the processor and the flags of its instructions, sorted."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return platform.processor() or platform.machine(), ()
    lines = (line.partition(":")[::2] for line in text.split("\n\n")[0].splitlines())
    facts = {name.strip(): value.strip() for name, value in lines}
    flags = facts.get("flags") or facts.get("Features") or ""
    return facts.get("model name", platform.machine()), tuple(sorted(flags.split()))


@cache
def gpus() -> tuple[str, ...]:
    """Return the visible NVIDIA GPUs, "name, compute capability" each."""
    if shutil.which("nvidia-smi") is None or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return ()
    query = ["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return tuple(answer.stdout.splitlines()) if answer.returncode == 0 else ()


@cache
def torch_build() -> dict[str, Any]:
    """Return what torch's version.py says: "__version__", "cuda", ..."""
    package = find_spec("torch")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("children are trained with torch: pip install torch")
    return runpy.run_path(str(Path(package.origin).with_name("version.py")))


def survey(device: str) -> dict[str, Any]:
    """Return how children are trained here: the "device", its "precision", and the "machine".

    Errors as for `resolve`.
    """
    device = resolve(device)
    return {
        "device": device,
        "precision": precision(device),
        "machine": description(device),
    }


def cores() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
