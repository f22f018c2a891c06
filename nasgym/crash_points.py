"""Named points at which a test can kill the process, to prove that nothing is lost."""

import os
import signal

_POINT = os.environ.get("NASGYM_CRASH_AT", "")


def crash_point(name: str) -> None:
    """Kill this process if NASGYM_CRASH_AT is `name`, or at the n-th call if it is "name:n"."""
    global _POINT
    wanted, _, calls = _POINT.partition(":")
    if name != wanted:
        return
    if int(calls or 1) > 1:
        _POINT = f"{wanted}:{int(calls) - 1}"
    else:
        os.kill(os.getpid(), signal.SIGKILL)
