"""Where actors live: in this process, in other processes here, or on a Ray cluster.

Requests and answers are plain JSON data, the same in all three places. When the process of an
actor dies, its state is lost, and the caller makes another actor.
"""

import base64
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from nasgym.errors import InvalidInput
from nasgym.execution.actor import Actor, ActorLost, Factory, call, pickled_factory, result
from nasgym.execution.json_process import JsonProcess, ProcessLost, connect_to_parent
from nasgym.execution.ray_actor import RayActor

PLACEMENTS = ("here", "processes", "ray")
"""Places for actors: this process, other processes on this machine, the nodes of a cluster."""


def place(placement: str, factory: Factory, **arguments: Any) -> Actor:
    """Return an actor at `placement` whose object is `factory(**arguments)`.

    Outside this process, the factory and its arguments must be picklable; otherwise raises
    ValueError.
    """
    if placement == "here":
        return HereActor(factory, **arguments)
    if placement == "processes":
        return ProcessActor(factory, **arguments)
    if placement == "ray":
        return RayActor(factory, **arguments)
    raise InvalidInput(f"placement {placement!r} is none of {', '.join(PLACEMENTS)}")


def gather(
    actors: Sequence[Actor], method: str, requests: Sequence[Mapping[str, Any]]
) -> list[Any]:
    """Call `method` once for each request, on all actors in parallel; return the answers in order.

    There may be more requests than actors. Raises ActorLost if an actor dies.
    """
    answers = []
    for first in range(0, len(requests), len(actors)):
        asked = list(zip(actors, requests[first : first + len(actors)], strict=False))
        for actor, request in asked:
            actor.ask(method, **request)
        answers += [actor.answer() for actor, _ in asked]
    return answers


class HereActor:
    """An object in this process; exceptions of its methods propagate from `ask`."""

    def __init__(self, factory: Factory, **arguments: Any) -> None:
        """Make the object."""
        self._object = factory(**arguments)

    def ask(self, method: str, **arguments: Any) -> None:
        """Call the method at once."""
        self._answer = getattr(self._object, method)(**arguments)

    def answer(self) -> Any:
        """Return the result of the last call."""
        return self._answer

    def close(self) -> None:
        """Drop the object."""
        self._object = None


class ProcessActor(JsonProcess):
    """An object in a process of its own on this machine, which ends with this process."""

    def __init__(self, factory: Factory, **arguments: Any) -> None:
        """Start the process; if it cannot make the object, the first `answer` raises ActorLost."""
        data = base64.b64encode(pickled_factory(factory, arguments)).decode()
        super().__init__("nasgym.execution.actors", log=False)
        self._responses: list[dict[str, Any]] = []
        self.send({"make": data})

    def ask(self, method: str, **arguments: Any) -> None:
        """Call the method; do not wait for the result."""
        self.send({"method": method, "arguments": arguments})

    def answer(self) -> Any:
        """Wait for the oldest result; raise ActorLost or ActorFailed."""
        while not self._responses:
            try:
                self._responses += self.receive()
            except ProcessLost:
                raise ActorLost(f"process {self.pid} of an actor died") from None
        return result(self._responses.pop(0))


def main() -> None:
    """Serve as the process of an actor: make the object, then call its methods."""
    connection = connect_to_parent()
    subject: Any = None
    for message in connection:
        if "make" in message:
            factory, arguments = pickle.loads(base64.b64decode(message["make"]))
            subject = factory(**arguments)
        else:
            connection.send(call(subject, message["method"], message["arguments"]))
