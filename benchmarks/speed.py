"""Speed: every hot path against the naive way, on this machine, in one run of some minutes.

python -m nasgym.benchmarks.speed [--json] [--only P12 P13]

Ours and the naive way take turns on one thread; the least CPU time of at least five turns of each
counts. FIGURES
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import tyro
from rich.console import Console

from nasgym.benchmarks import search_speed, training_speed
from nasgym.benchmarks.clock import Effort
from nasgym.benchmarks.machine import describe
from nasgym.benchmarks.measurement import Measurement
from nasgym.workers import ONE_THREAD

MEASUREMENTS: Mapping[str, Callable[[Effort], Measurement]] = {
    "P1": training_speed.large_child,
    "P2": training_speed.small_child,
    "P4": training_speed.input_pipeline,
    "P5": training_speed.validation,
    "P6": training_speed.two_processes,
    "P7": training_speed.digits,
    "P8": training_speed.isolation,
    "P12": search_speed.stepping,
    "P13": search_speed.sampling,
    "P14": search_speed.policy_gradient,
    "loop": search_speed.whole_search,
    "import": search_speed.importing,
}
"""What is measured, by the name it has in the JSON."""
