"""The terminal that commands talk to."""

from rich.console import Console

OUT = Console(highlight=False)


def say(text: str) -> None:
    """Print `text` as it is, its lines unbroken."""
    OUT.print(text, soft_wrap=True, markup=False)
