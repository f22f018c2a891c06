"""The interface of an actor: an object that may live in another process."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

Make = Callable[..., Any]
"""What makes the object that an actor is: a class, or a function on the top level of a module."""


class ActorLost(Exception):
    """The actor's process is dead, and what it held is gone."""


class ActorFailed(Exception):
    """The object raised an exception; the message is its traceback."""


class Actor(Protocol):
    """An object somewhere; every `ask` is followed by one `answer`."""

    def ask(self, method: str, **arguments: Any) -> None:
        """Have a method of the object called with plain data."""
        ...

    def answer(self) -> Any:
        """Wait for what the method returned, plain data; raise ActorLost if it never comes."""
        ...

    def close(self) -> None:
        """End it."""
        ...


def answered(subject: Any, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message that answers a call of a method."""
    try:
        return {"answer": getattr(subject, method)(**arguments)}
    except Exception:
        import traceback

        return {"error": traceback.format_exc()}
