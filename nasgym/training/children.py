"""(being written)"""
from typing import Any
class ChildTraining:
    """Stub."""
    def __init__(self, data: str = "digits", *, recipe: str = "short", epochs: int | None = None, train_size: int | None = None, valid_size: int | None = None, image_size: int | None = None, seed: int = 0, device: str = "auto", workers: int | None = None, time_limit: float | None = None, memory_limit: float | None = None) -> None:
        """Stub."""
