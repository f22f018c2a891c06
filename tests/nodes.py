"""A Ray cluster of two nodes on this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from nasgym.execution import machine
from nasgym.execution.ray_backend import RayBackend
from nasgym.execution.ray_cluster import Cluster, ray
from nasgym.execution.scheduler import Scheduler
from tests.pools import JOB

NEEDS_RAY = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")


HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 300,
    "health_check_failure_threshold": 3,
}
"""The head notices the loss of a node after about a second instead of 15."""


KIND = machine.survey("cpu")


def pool(job: str = JOB, kind: Any = KIND, retries: int = 2, **limits: Any) -> Scheduler:
    """Return a pool on the cluster that RAY_ADDRESS names."""
    return Scheduler(RayBackend(Cluster("auto"), job, {}, kind=kind, **limits), retries=retries)


class Nodes:
    """A head and another node, which can be unplugged and plugged in again."""

    def __init__(self) -> None:
        head = {"num_cpus": 1, "include_dashboard": False, "_system_config": HEALTH}
        self._made = import_module("ray.cluster_utils").Cluster(True, head_node_args=head)
        self._other: Any = None
        self.address: str = self._made.address
        self.plug_in()

    def plug_in(self) -> None:
        if self._other is None:
            self._other = self._made.add_node(num_cpus=1)

    def unplug(self) -> None:
        """Kill all processes of the other node at once."""
        node, self._other = self._other, None
        self._made.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        ray().shutdown()
        self._made.shutdown()


@contextmanager
def two_nodes() -> Iterator[Nodes]:
    """Start the nodes and set RAY_ADDRESS to their address."""
    before = dict(os.environ)
    ray()
    nodes = Nodes()
    os.environ["RAY_ADDRESS"] = nodes.address
    try:
        yield nodes
    finally:
        nodes.close()
        os.environ.clear()
        os.environ.update(before)
