"""JSON messages over a socket, one per line."""

import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from nasgym.errors import InvalidInput

MAX_MESSAGE = 16 * 2**20
"""Maximum size of a message, in bytes."""


def encode(message: Mapping[str, Any]) -> bytes:
    """Return `message` as one line of JSON.

    Raises TypeError or ValueError if JSON cannot represent it, ValueError if it is too long.
    """
    line = json.dumps(message, allow_nan=False).encode() + b"\n"
    if len(line) > MAX_MESSAGE:
        raise InvalidInput(f"a message of {len(line):,} bytes is longer than {MAX_MESSAGE:,}")
    return line


class JsonLines:
    """One end of a connection; iterate over it for messages until the other end closes."""

    def __init__(self, end: socket.socket) -> None:
        """Send and receive over `end`, whose time-out applies to both directions."""
        self.socket = end
        self._partial = b""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; raise OSError if the other end is closed or does not read."""
        self.socket.sendall(encode(message))

    def receive(self) -> list[dict[str, Any]]:
        """Wait for data and return all complete messages, possibly none.

        Raises EOFError when the other end has closed, TimeoutError if no data arrives in time.
        """
        data = self.socket.recv(2**16)
        if not data:
            raise EOFError
        *lines, self._partial = (self._partial + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            try:
                messages = self.receive()
            except (EOFError, ConnectionError):
                return
            yield from messages
