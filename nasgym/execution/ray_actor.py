"""Actors on the nodes of a Ray cluster."""

import pickle
from collections import deque
from collections.abc import Mapping
from typing import Any

from nasgym.execution.actor import ActorLost, Factory, call, pickled_factory, result
from nasgym.execution.json_process import import_path
from nasgym.execution.ray_cluster import Cluster, extend_import_path, last_line, ray


class RemoteObject:
    """The object of an actor, in a process on a node."""

    def __init__(self, path: list[str], data: bytes) -> None:
        """Make the object; `path` is the driver's search path for modules."""
        extend_import_path(path)
        factory, arguments = pickle.loads(data)
        self._object = factory(**arguments)

    def call(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Call a method of the object and return the response."""
        return call(self._object, method, arguments)


class RayActor:
    """An object in a process on some node (see `nasgym.execution.actor.Actor`).

    It reserves no CPU of the cluster, so that children can use them all.
    """

    def __init__(self, factory: Factory, **arguments: Any) -> None:
        """Start the process on the connected cluster, else on a Ray instance on this machine."""
        data = pickled_factory(factory, arguments)
        Cluster("ray")
        remote = ray().remote(RemoteObject).options(num_cpus=0, scheduling_strategy="SPREAD")
        self._actor = remote.remote(import_path(), data)
        self._calls: deque[Any] = deque()

    def ask(self, method: str, **arguments: Any) -> None:
        """Call the method; do not wait for the result."""
        self._calls.append(self._actor.call.remote(method, arguments))

    def answer(self) -> Any:
        """Wait for the oldest result; raise ActorLost or ActorFailed."""
        try:
            response = ray().get(self._calls.popleft())
        except ray().exceptions.RayError as error:
            raise ActorLost(f"an actor on the cluster died: {last_line(error)}") from None
        return result(response)

    def close(self) -> None:
        """End the process."""
        if ray().is_initialized():
            ray().kill(self._actor)
