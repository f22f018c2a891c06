"""Layout: arrange strings side by side in arrays for one pass of the controller's LSTM.

The array positions of a string's tokens, inputs and connections depend on its path only. They are
indexed once for each path and then filled in for all strings with that path at once.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nasgym.agents.controller.decoding_steps import DecodingStep, Path, StepGraph, Vocabulary
from nasgym.errors import InvalidInput
from nasgym.spaces.base import Tokens

CLOSED = -1e9
"""Added to the logits of padding, whose probability then is exactly 0."""

PATHS_KEPT = 1024
"""Number of paths to remember; a space without branches has one path for each depth."""

Ints = NDArray[np.int64]


class Batch:
    """Strings side by side: the inputs of the LSTM and the choices made, step by step."""

    def __init__(self, steps: int, strings: int, vocabulary: Vocabulary) -> None:
        """Allocate arrays for `strings` strings of at most `steps` steps."""
        self.steps, self.strings = steps, strings
        self.inputs = np.zeros((steps + 1, strings, vocabulary.size), np.float32)
        """The inputs as weights of words: "start", then the outcome of each step."""
        self.inputs[0, :, vocabulary.start] = 1.0
        self.options = np.zeros((steps, strings, vocabulary.widest), np.int64)
        """The words of each softmax, padded."""
        self.closed = np.zeros((steps, strings, vocabulary.widest), np.float32)
        """CLOSED at the padding, 0 at the options."""
        self.chosen = np.zeros((steps, strings), np.int64)
        """The token chosen by each softmax."""
        self.is_softmax = np.zeros((steps, strings), np.float32)
        """1 where the step is a softmax, 0 at anchors and after the end."""
        self.connections = np.zeros((3, 0), np.int64)
        """For each connection: the index of the hidden state at its anchor, the index of its
        source's, and its bit. Hidden states are numbered step * strings + string; the words follow
        them, as sources without a hidden state."""


class Layout:
    """Arranges strings of a space in batches."""

    def __init__(self, graph: StepGraph) -> None:
        """`graph` holds the steps of the space at its deepest."""
        self.graph = graph
        self._paths: dict[Path, PathIndex] = {}

    def batch(self, strings: Sequence[Tokens]) -> Batch:
        """Arrange strings, or prefixes; raise ValueError for one that is not in the space."""
        groups: dict[Path, list[int]] = {}
        for number, tokens in enumerate(strings):
            groups.setdefault(self.graph.path(tokens), []).append(number)
        indices = [self._index(path) for path in groups]
        steps = max(len(index.places) for index in indices)
        batch = Batch(steps, len(strings), self.graph.vocabulary)
        for index, numbers in zip(indices, groups.values(), strict=True):
            columns = np.array([strings[number] for number in numbers], np.int64).T
            index.write(columns, np.array(numbers), batch)
        return batch

    def _index(self, path: Path) -> "PathIndex":
        if path not in self._paths:
            if len(self._paths) == PATHS_KEPT:
                self._paths.clear()
            self._paths[path] = PathIndex(self.graph.steps(path), self.graph.vocabulary.widest)
        return self._paths[path]


class PathIndex:
    """The array positions that all strings of one path share."""

    def __init__(self, steps: Sequence[DecodingStep], widest: int) -> None:
        """Index the tokens of strings with these `steps`."""
        widths = [step.width for step in steps]
        self.places = np.cumsum([0, *widths])[:-1]
        """The position of each step's first token."""
        options = [2 if step.sources else len(step.words) for step in steps]
        self._limits = np.repeat(options, widths)[:, None]
        self._is_softmax = np.array([[not step.sources] for step in steps])
        self._options = np.zeros((len(steps), 1, widest), np.int64)
        self._closed = np.zeros((len(steps), 1, widest), np.float32)
        for number, step in enumerate(steps):
            if not step.sources:
                self._options[number, 0, : len(step.words)] = step.words
                self._closed[number, 0, len(step.words) :] = CLOSED
        self._links = np.array(list(_links(steps)), np.int64).reshape(-1, 4).T
        _, self._anchor_starts, self._anchor_of = np.unique(
            self._links[1], return_index=True, return_inverse=True
        )

    def write(self, tokens: Ints, strings: Ints, batch: Batch) -> None:
        """Write the columns of `tokens` into the columns `strings` of `batch`."""
        if ((tokens < 0) | (tokens >= self._limits)).any():
            raise InvalidInput("a token is none of the options of its decision")
        steps = np.arange(len(self.places))[:, None]
        chosen = tokens[self.places] * self._is_softmax
        batch.options[: len(steps), strings] = self._options
        batch.closed[: len(steps), strings] = self._closed
        batch.chosen[: len(steps), strings] = chosen
        batch.is_softmax[: len(steps), strings] = self._is_softmax
        batch.inputs[steps + 1, strings, self._options[steps, 0, chosen]] = self._is_softmax
        if self._links.size:
            self._write_connections(tokens, strings, batch)

    def _write_connections(self, tokens: Ints, strings: Ints, batch: Batch) -> None:
        bits = tokens[self._links[0]]
        steps, words, sources = self._links[1:, :, None]
        made = np.add.reduceat(bits, self._anchor_starts)[self._anchor_of]
        batch.inputs[steps + 1, strings, words] = bits / (1 + made)
        queries = steps * batch.strings + strings
        without_state = batch.steps * batch.strings + words
        keys = np.where(sources < 0, without_state, sources * batch.strings + strings)
        connections = np.stack([queries, keys, bits]).reshape(3, -1)
        batch.connections = np.append(batch.connections, connections, axis=1)


def _links(steps: Sequence[DecodingStep]) -> Iterator[tuple[int, int, int, int]]:
    """Yield each connection's token position, step, word, and the step of its source.

    A source is represented at its anchor or, without an anchor, at its last step. A source without
    any step, such as the image, has step -1 and is represented by its word.
    """
    known: dict[int, int] = {}
    place = 0
    for number, step in enumerate(steps):
        for offset, (word, source) in enumerate(zip(step.words, step.sources, strict=False)):
            yield place + offset, number, word, known.get(source, -1)
        if step.sources:
            known[step.layer] = number
        elif number + 1 == len(steps) or steps[number + 1].layer != step.layer:
            known.setdefault(step.layer, number)
        place += step.width
