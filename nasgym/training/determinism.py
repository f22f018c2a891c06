"""The process that children are trained in: its state, its device, and the seed of each child."""

import hashlib
import os
from contextlib import suppress
from typing import Any

import torch

from nasgym.spaces.plain import digest


def settle() -> None:
    """Bring this process into the state that children are trained in."""
    torch.set_num_threads(1)
    with suppress(RuntimeError):  # a process that has used its threads keeps them
        torch.set_num_interop_threads(1)
    torch.backends.cudnn.deterministic = True
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")


def child_seed(seed: int, architecture: Any) -> int:
    """Return the seed of a child: it depends on the run's seed and what the child is, no more."""
    text = f"{seed}:{digest(architecture)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def device_of(name: str, slot: int) -> torch.device:
    """Return the device of the worker in `slot`: GPUs are dealt out in turn."""
    if name == "cuda":
        name = f"cuda:{slot % torch.cuda.device_count()}"
    return torch.device(name)
