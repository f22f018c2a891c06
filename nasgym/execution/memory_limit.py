"""The memory limit of a child, and the recognition of errors that mean memory ran out."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def lacks_memory(text: str) -> bool:
    """Return whether an error message of any library says that memory ran out."""
    words = ("memoryerror", "allocate memory", "out of memory", "bad_alloc")
    onednn = ("could not create a primitive", "could not execute a primitive")
    return any(phrase in text.lower() for phrase in words + onednn)


@contextmanager
def limited_memory(memory_limit: float | None) -> Iterator[None]:
    """Let this process allocate `memory_limit` more GiB; None sets no limit.

    The limit applies to private writable memory (RLIMIT_DATA). Unlike the address space, this
    excludes mapped files and the memory that a GPU driver reserves. Only Linux enforces it.
    """
    if memory_limit is None or not sys.platform.startswith("linux"):
        yield
        return
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[5]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = used + int(memory_limit * 2**30)
    if hard != resource.RLIM_INFINITY:
        allowed = min(allowed, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))  # the report needs memory too
