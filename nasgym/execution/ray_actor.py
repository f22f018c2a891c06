"""Actors on the nodes of a Ray cluster."""

import os
import pickle
import sys
from collections import deque
from collections.abc import Mapping
from typing import Any

from nasgym.execution.actor import ActorFailed, ActorLost, Make, answered
from nasgym.execution.local import search_path
from nasgym.execution.ray_cluster import Cluster, last_line, ray


class Remote:
    """The process of an actor on a node."""

    def __init__(self, path: list[str], parcel: bytes) -> None:
        """Make the object; `path` is the driver's, of use where nodes share its disk."""
        sys.path.extend(entry for entry in path if entry not in sys.path)
        make, arguments = pickle.loads(parcel)
        self._object = make(**arguments)

    def call(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Call a method of the object."""
        return answered(self._object, method, arguments)


class RayActor:
    """An object in a process on some node, see `nasgym.execution.actors.Actor`; it takes no CPU of Ray's."""

    def __init__(self, make: Make, **arguments: Any) -> None:
        """Start the process on the cluster this one is connected to, else on one of its own."""
        try:
            parcel = pickle.dumps((make, arguments))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(
                f"{error}: what cannot be sent to another process takes placement='here'"
            ) from None
        Cluster("ray")
        placed = ray().remote(Remote).options(num_cpus=0, scheduling_strategy="SPREAD")
        self._actor = placed.remote(search_path().split(os.pathsep), parcel)
        self._calls: deque[Any] = deque()

    def ask(self, method: str, **arguments: Any) -> None:
        """Have the method called."""
        self._calls.append(self._actor.call.remote(method, arguments))

    def answer(self) -> Any:
        """Wait for what it returns; raise ActorLost or ActorFailed."""
        try:
            answer = ray().get(self._calls.popleft())
        except ray().exceptions.RayError as error:
            raise ActorLost(f"an actor on the cluster died: {last_line(error)}") from None
        if "error" in answer:
            raise ActorFailed(answer["error"])
        return answer["answer"]

    def close(self) -> None:
        """End the process."""
        if ray().is_initialized():
            ray().kill(self._actor)
