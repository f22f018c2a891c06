"""The interface of an actor: an object that may live in another process."""

import pickle
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from nasgym.errors import InvalidInput, NasgymError

Factory = Callable[..., Any]
"""Makes the object of an actor: a class, or a function at the top level of a module."""


class ActorLost(NasgymError):
    """The actor's process died, and with it the object's state."""


class ActorFailed(NasgymError):
    """The object raised an exception; the message is its traceback."""


class Actor(Protocol):
    """A handle of an object somewhere; every `ask` is followed by one `answer`."""

    def ask(self, method: str, **arguments: Any) -> None:
        """Call a method of the object with plain data; do not wait for the result."""
        ...

    def answer(self) -> Any:
        """Wait for the oldest result not yet returned, plain data, and return it.

        Raises ActorLost if the actor died, ActorFailed if the method raised an exception.
        """
        ...

    def close(self) -> None:
        """End the actor and its process."""
        ...


def pickled_factory(factory: Factory, arguments: Mapping[str, Any]) -> bytes:
    """Return the factory and its arguments as bytes, for another process to make the object.

    Raises ValueError if they cannot be pickled.
    """
    try:
        return pickle.dumps((factory, arguments))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InvalidInput(
            f"this cannot be sent to another process ({error}): use placement='here'"
        ) from None


def call(subject: Any, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Call a method of `subject`; return the response, which `result` reads."""
    try:
        return {"answer": getattr(subject, method)(**arguments)}
    except Exception:
        return {"error": traceback.format_exc()}


def result(response: Mapping[str, Any]) -> Any:
    """Return what the method returned; raise ActorFailed if it raised an exception."""
    if "error" in response:
        raise ActorFailed(response["error"])
    return response["answer"]
