"""Actors: objects that live in processes of their own and are asked one thing at a time.

What an actor is asked and answers is plain JSON data, the same wherever it lives: in this process,
in another one here (`nasgym.execution.actors`), or on a Ray cluster (`nasgym.execution.ray_cluster`). An actor whose
process dies is lost with all it held; whoever asked it makes another.
"""

import base64
import os
import pickle
import socket
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from nasgym.execution.actor import Actor, ActorFailed, ActorLost, Make, answered
from nasgym.execution.json_lines import Channel
from nasgym.execution.local import END_WITHIN, ONE_THREAD, search_path

PLACEMENTS = ("here", "processes", "ray")
"""Where actors can live: in this process, in others on this machine, on the nodes of a cluster."""


def place(placement: str, make: Make, **arguments: Any) -> Actor:
    """Return an actor, at the placement, that is `make(**arguments)`.

    `make` and its arguments may be any objects that can be pickled: they come from this process
    and go to one that it started. Raises ValueError for what cannot be.
    """
    if placement == "here":
        return HereActor(make, **arguments)
    if placement == "processes":
        return ProcessActor(make, **arguments)
    if placement == "ray":
        from nasgym.execution.ray_actor import RayActor

        return RayActor(make, **arguments)
    raise ValueError(f"placement {placement!r} is none of {', '.join(PLACEMENTS)}")


def gather(
    actors: Sequence[Actor], method: str, requests: Sequence[Mapping[str, Any]]
) -> list[Any]:
    """Return what `method` answers to each request, in order; the actors work at the same time.

    There may be more requests than actors. Raises ActorLost if one of them dies.
    """
    answers = []
    for first in range(0, len(requests), len(actors)):
        asked = list(zip(actors, requests[first : first + len(actors)], strict=False))
        for actor, request in asked:
            actor.ask(method, **request)
        answers += [actor.answer() for actor, _ in asked]
    return answers


class HereActor:
    """An object in this process."""

    def __init__(self, make: Make, **arguments: Any) -> None:
        """Make it."""
        self._object = make(**arguments)

    def ask(self, method: str, **arguments: Any) -> None:
        """Call the method."""
        self._answer = getattr(self._object, method)(**arguments)

    def answer(self) -> Any:
        """Return what it returned."""
        return self._answer

    def close(self) -> None:
        """Forget it."""
        self._object = None


class ProcessActor:
    """An object in a process of its own on this machine, which ends with this one."""

    def __init__(self, make: Make, **arguments: Any) -> None:
        """Start the process; whether the object can be made is told by the first answer."""
        try:
            parcel = base64.b64encode(pickle.dumps((make, arguments))).decode()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(
                f"{error}: what cannot be sent to another process takes placement='here'"
            ) from None
        here, there = socket.socketpair()
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", "from nasgym.execution.actors import main; main()"],
                stdin=there.fileno(),
                stdout=subprocess.DEVNULL,
                env=os.environ | ONE_THREAD | {"PYTHONPATH": search_path()},
                start_new_session=True,  # Ctrl-C in the terminal is for the parent to deal with
            )
        self._channel = Channel(here)
        self._answers: list[dict[str, Any]] = []
        self.close = weakref.finalize(self, _end, os.getpid(), self._process, here)
        self._send({"make": parcel})

    @property
    def pid(self) -> int:
        """Return the process."""
        return self._process.pid

    def ask(self, method: str, **arguments: Any) -> None:
        """Have the method called."""
        self._send({"method": method, "arguments": arguments})

    def answer(self) -> Any:
        """Wait for what it returns."""
        while not self._answers:
            try:
                self._answers += self._channel.receive()
            except (EOFError, ConnectionError):
                raise ActorLost(f"process {self.pid} of an actor died") from None
        answer = self._answers.pop(0)
        if "error" in answer:
            raise ActorFailed(answer["error"])
        return answer["answer"]

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._channel.send(message)
        except OSError:
            self._process.kill()  # what takes nothing in is lost, as `answer` will tell


def _end(owner: int, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
    """End an actor's process, unless this process is only a fork of its owner."""
    channel.close()
    if os.getpid() != owner:
        return
    try:
        process.wait(END_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Be the process of an actor: make the object, then call its methods until the channel ends."""
    channel = Channel(socket.socket(fileno=os.dup(0)))
    subject: Any = None
    while True:
        try:
            messages = channel.receive()
        except (EOFError, ConnectionError):
            return
        for message in messages:
            if "make" in message:
                make, arguments = pickle.loads(base64.b64decode(message["make"]))
                subject = make(**arguments)
                continue
            channel.send(answered(subject, message["method"], message["arguments"]))
