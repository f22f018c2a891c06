"""The properties of this machine that affect the bits of a trained child, found without torch."""

import os
import platform
import runpy
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nasgym.errors import InvalidInput

BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
"""CPU flags that make training in bfloat16 twice as fast; without them it is slower."""

BFLOAT16_CAPABILITY = 8.0
"""Minimum compute capability of NVIDIA GPUs that support bfloat16."""

VECTOR_FLAGS = ("avx", "fma", "amx", "asimd", "sve", "bf16")
"""Prefixes of the CPU flags by which libraries choose their kernels."""

OVERRIDES = ("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA")
"""Environment variables that override this choice."""


def resolve(device: str) -> str:
    """Return "cpu" or "cuda"; "auto" means "cuda" if there is a GPU and torch is built for it.

    Raises ValueError, in one line, if the device is unknown or absent.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InvalidInput(f"device must be 'auto', 'cpu' or 'cuda', not {device!r}")
    usable = bool(gpus()) and torch_build()["cuda"] is not None
    if device == "cuda" and not usable:
        raise InvalidInput(
            "device 'cuda' needs a GPU that nvidia-smi sees and a torch built for it"
        )
    return "cuda" if usable and device != "cpu" else "cpu"


def precision(device: str) -> str:
    """Return the dtype, by its name in torch, in which children train fastest on `device`."""
    if device == "cuda":
        supported = min(float(gpu.rpartition(", ")[2]) for gpu in gpus()) >= BFLOAT16_CAPABILITY
    else:
        supported = not BFLOAT16_FLAGS.isdisjoint(processor()[1])
    return "bfloat16" if supported else "float32"


def description(device: str) -> dict[str, Any]:
    """Return the facts on which the bits of a trained child depend, as plain data."""
    model, flags = processor()
    return {
        "torch": torch_build()["__version__"],
        "processor": model,
        "flags": [flag for flag in flags if flag.startswith(VECTOR_FLAGS)],
        "overrides": {name: os.environ[name] for name in OVERRIDES if name in os.environ},
        "gpus": gpus() if device == "cuda" else [],
    }


@cache
def processor() -> tuple[str, tuple[str, ...]]:
    """Return the processor's model and its flags, sorted."""
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
    """Return "name, compute capability" of each visible NVIDIA GPU."""
    if shutil.which("nvidia-smi") is None or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return ()
    query = ["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return tuple(answer.stdout.splitlines()) if answer.returncode == 0 else ()


@cache
def torch_build() -> dict[str, Any]:
    """Return the variables of torch's version.py: "__version__", "cuda" and others."""
    package = find_spec("torch")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("children are trained with torch: pip install torch")
    return runpy.run_path(str(Path(package.origin).with_name("version.py")))


def survey(device: str) -> dict[str, Any]:
    """Return the "device", "precision" and "machine" of children trained here.

    Raises the errors of `resolve`.
    """
    device = resolve(device)
    return {"device": device, "precision": precision(device), "machine": description(device)}


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
