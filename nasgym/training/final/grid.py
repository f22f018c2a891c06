"""The grid: recipes that differ in a few numbers, and the one that validates best.

Each point is on disk as soon as it is trained. A point that fails is recorded like the others.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from nasgym.crash_points import crash_point
from nasgym.errors import InvalidInput
from nasgym.evaluation.evaluation import Evaluation
from nasgym.files import read_json, write_atomically
from nasgym.training.problem import Problem


class GridError(InvalidInput):
    """A grid that cannot continue or has no good point; the message is one line for the user."""


class Grid:
    """A grid search and its file."""

    def __init__(self, problem: Problem[Any], epochs: int, path: Path, identity: str) -> None:
        """Continue the grid at `path`, or begin one whose points train for `epochs`.

        `identity` is the digest of everything else that decides a point. Raises GridError if the
        file is damaged or has another identity.
        """
        self.problem, self.epochs, self.path, self.identity = problem, epochs, path, identity
        self.all_changes = list(problem.grid())
        """The fields of the recipe that each point replaces."""
        self.points: list[dict[str, Any]] = self._read() if path.exists() else []
        """The points that are trained: "changes" and "evaluation" of each."""

    def _read(self) -> list[dict[str, Any]]:
        try:
            record = read_json(self.path)
            identity, points = record["identity"], list(record["points"])
        except (ValueError, TypeError, KeyError) as error:
            raise GridError(
                f"{self.path} is damaged ({error}): delete it to search the grid again"
            ) from None
        if identity != self.identity:
            raise GridError(f"{self.path} belongs to another training: choose another --out")
        return points

    def remaining(self) -> Iterator[dict[str, Any]]:
        """Train the points that are left, and yield each once it is on disk."""
        for changes in self.all_changes[len(self.points) :]:
            recipe = replace(self.problem.recipe, **changes)
            evaluation = self.problem.evaluate(self.problem.shortened(recipe, self.epochs))
            self.points.append({"changes": changes, "evaluation": evaluation.to_plain()})
            self._write({})
            crash_point("after_grid_point")
            yield self.points[-1]

    def choose(self) -> dict[str, Any]:
        """Record and return the changes of the point that validates best, the first if tied."""
        evaluations = [Evaluation.from_plain(point["evaluation"]) for point in self.points]
        trained = [index for index, one in enumerate(evaluations) if one.status == "ok"]
        if not trained:
            raise GridError(
                f"every point of {self.path} failed, the first with: {evaluations[0].error}"
            )
        best = max(trained, key=lambda index: self.problem.rank(evaluations[index]))
        chosen: dict[str, Any] = self.points[best]["changes"]
        self._write({"chosen": chosen})
        return chosen

    def _write(self, more: dict[str, Any]) -> None:
        record = {"identity": self.identity, **more, "points": self.points}
        write_atomically(self.path, json.dumps(record, indent=1))
