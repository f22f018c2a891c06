"""A channel: JSON messages between the pool and its nursery, one a line, over a socket."""

import json
import socket
from collections.abc import Mapping
from typing import Any

LONGEST_MESSAGE = 16 * 2**20
"""Bytes; whoever makes a longer one is told so."""


def encode(message: Mapping[str, Any]) -> bytes:
    """Return `message` as one line of JSON; raise ValueError or TypeError if it cannot be one."""
    line = json.dumps(message, allow_nan=False).encode() + b"\n"
    if len(line) > LONGEST_MESSAGE:
        raise ValueError(f"a message of {len(line):,} bytes is longer than {LONGEST_MESSAGE:,}")
    return line


class Channel:
    """One end of a channel."""

    def __init__(self, end: socket.socket) -> None:
        """Speak over `end`; its time-out holds for both directions."""
        self.socket = end
        self._rest = b""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; raise OSError if the other end is closed or takes nothing in."""
        self.socket.sendall(encode(message))

    def receive(self) -> list[dict[str, Any]]:
        """Wait for data and return the messages now complete, perhaps none.

        Raises EOFError at the end, TimeoutError if nothing comes.
        """
        data = self.socket.recv(2**16)
        if not data:
            raise EOFError
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]
