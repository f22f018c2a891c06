"""Players: processes that play the leaderboard's entries, one after another each.

Importing torch and Stable-Baselines3 takes seconds and a run on a table little more, so a process
plays many. They are started afresh, not forked: torch hangs in the fork of a process that used it.
"""

import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nasgym.archive import Trial
from nasgym.benchmarks.leaderboard.entries import LeaderboardEntry as Entry
from nasgym.benchmarks.leaderboard.entries import play
from nasgym.execution.forkserver import die_with, how_it_ended
from nasgym.execution.json_lines import Channel
from nasgym.execution.local import ONE_THREAD

TELL_EVERY = 0.5
"""Seconds between two messages of a player about one entry."""

END_WITHIN = 5.0
"""Seconds a player has to end by itself."""


@dataclass(frozen=True)
class News:
    """What a player says of the entry it plays."""

    entry: Entry
    """The entry."""
    done: int
    """Children finished so far."""
    over: bool = False
    """Whether it is finished or has failed."""
    failure: str = ""
    """Why it failed, in one line; empty if it did not."""


class Player:
    """The parent's end of one player."""

    def __init__(self, out: Path) -> None:
        """Start a process that plays entries in the folder `out`."""
        here, there = socket.socketpair()
        self.channel = Channel(here)
        self.entry: Entry | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        with there:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-c",
                    "from nasgym.benchmarks.leaderboard.run_pool import main; main()",
                ],
                stdin=there.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                env=os.environ | ONE_THREAD | {"PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C in the terminal is for the parent to deal with
            )
        self.channel.send({"parent": os.getpid(), "out": str(out)})

    def begin(self, entry: Entry) -> None:
        """Have `entry` played."""
        self.entry = entry
        with suppress(OSError):  # that it is dead is found out by listening to it
            self.channel.send({"entry": asdict(entry)})

    def news(self) -> list[News]:
        """Return what the player has said; the last if it is dead says so."""
        assert self.entry is not None
        try:
            return [News(self.entry, **message) for message in self.channel.receive()]
        except (EOFError, ConnectionError):
            return [News(self.entry, 0, over=True, failure=self._last_words())]

    @property
    def alive(self) -> bool:
        """Return whether the process runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process; what its entry has finished is kept."""
        self._process.terminate()
        try:
            self._process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.channel.socket.close()
        self._log.close()

    def _last_words(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().split("\n")
        return lines[-1] or how_it_ended(code)


def play_all(entries: Sequence[Entry], out: Path, workers: int) -> Iterator[News]:
    """Have `entries` played in order, `workers` at a time, and yield the news as it comes.

    An entry that fails stops no other; a player that dies is replaced.
    """
    waiting = deque(entries)
    with ExitStack() as stack, selectors.DefaultSelector() as selector:

        def next_of(player: Player) -> None:
            if waiting and player.alive:
                player.begin(waiting.popleft())
                return
            selector.unregister(player.channel.socket)
            if waiting:
                start()

        def start() -> None:
            player = Player(out)
            stack.callback(player.close)
            selector.register(player.channel.socket, selectors.EVENT_READ, player)
            player.begin(waiting.popleft())

        for _ in range(min(workers, len(entries))):
            start()
        while selector.get_map():
            for key, _ in selector.select():
                for news in key.data.news():
                    yield news
                    if news.over:
                        next_of(key.data)


def main() -> None:
    """Play the entries that come over standard input until it closes."""
    channel = Channel(socket.socket(fileno=os.dup(0)))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    messages = _messages(channel)
    setup = next(messages)
    die_with(setup["parent"])
    out = Path(setup["out"])
    for message in messages:
        entry = Entry(**message["entry"])
        channel.send(
            {"done": entry.children, "over": True, "failure": _failure(channel, entry, out)}
        )


def _messages(channel: Channel) -> Iterator[dict[str, Any]]:
    while True:
        try:
            yield from channel.receive()
        except EOFError:
            return


def _failure(channel: Channel, entry: Entry, out: Path) -> str:
    """Play `entry` and return why that failed, in one line; empty if it did not."""
    told = 0.0

    def tell(trial: Trial) -> None:
        nonlocal told
        if time.monotonic() - told > TELL_EVERY:
            told = time.monotonic()
            channel.send({"done": trial.number + 1})

    errors = entry.folder(out) / "error.txt"
    errors.unlink(missing_ok=True)
    try:
        play(entry, out, tell)
    except Exception as error:  # whatever a foreign agent does
        errors.parent.mkdir(parents=True, exist_ok=True)
        errors.write_text(traceback.format_exc())
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""
