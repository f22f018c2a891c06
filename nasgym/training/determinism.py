"""Determinism: the process, the device and the seed that make a child's bits reproducible."""

import hashlib
import os
from contextlib import suppress
from typing import Any

import torch

from nasgym.spaces.plain import digest


def configure_process() -> None:
    """Set this process up to train children: one thread and deterministic kernels."""
    torch.set_num_threads(1)
    with suppress(RuntimeError):  # torch refuses once its threads have started
        torch.set_num_interop_threads(1)
    torch.backends.cudnn.deterministic = True
    # torch then looks for GPUs without initialising CUDA, so the process can still fork.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")


def child_seed(seed: int, architecture: Any) -> int:
    """Return the seed of a child, below 2**63, from the run's seed and the architecture alone."""
    text = f"{seed}:{digest(architecture)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def worker_device(name: str, slot: int) -> torch.device:
    """Return the device of the worker in `slot`; workers share the GPUs in turn."""
    if name == "cuda":
        name = f"cuda:{slot % torch.cuda.device_count()}"
    return torch.device(name)
