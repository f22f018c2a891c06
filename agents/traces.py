"""Traces: strings as the controller sees them, one step of its LSTM after another.

A step decides one decision, with a softmax over its options, or all the connections of a layer,
with one sigmoid for each (the anchor point of Zoph & Le 2017, section 3.3). Connections whose
outcome decides what comes next are not independent and get a step each.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nasgym.space import Decision, SearchSpace, Tokens

CLOSED = -1e9
"""Added to the logit of an option that cannot be chosen: its probability is then exactly 0."""

TRACES_KEPT = 1024
"""Traces remembered; a space without branches has one for each depth."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


def is_connection(decision: Decision) -> bool:
    """Return whether `decision` asks if an earlier layer is an input: a bit, not a softmax."""
    return decision.source is not None and len(decision.options) == 2


class Vocabulary:
    """Numbers for all that a controller can say or be told: options, then sources, then "start".

    An option is one word wherever it occurs under the same decision name, so layers share what is
    learned about it; a source is one word for each layer that connections may come from.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Collect the words of `space`."""
        decisions = space.automaton.decisions
        words: dict[tuple[str, Hashable], int] = {}
        for decision in decisions:
            if not is_connection(decision):
                for option in decision.options:
                    words.setdefault((decision.name, option), len(words))
        asked = {decision.source for decision in decisions if is_connection(decision)}
        self.num_options = len(words)
        self._words = words
        self._sources = {source: len(words) + row for row, source in enumerate(sorted(asked))}
        self.num_sources = len(self._sources)
        self.start = self.num_options + self.num_sources
        self.size = self.start + 1

    def options(self, decision: Decision) -> tuple[int, ...]:
        """Return the number of each option of `decision`."""
        return tuple(self._words[decision.name, option] for option in decision.options)

    def source(self, decision: Decision) -> int:
        """Return the number of the source that a connection asks about."""
        return self._sources[decision.source]


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the LSTM."""

    anchor: bool
    """Whether it decides connections instead of one decision."""
    layer: int
    """The layer of its decisions."""
    words: tuple[int, ...]
    """The vocabulary's number of each option; at an anchor of each source."""
    sources: tuple[int, ...]
    """At an anchor, the layers asked about."""
    width: int
    """How many tokens it writes."""
    successors: tuple[int, ...]
    """The state of the automaton after each token of the last of its decisions."""

    @property
    def onward(self) -> int | None:
        """The state after it where all tokens lead to the same; None where strings part."""
        return self.successors[0] if len(set(self.successors)) == 1 else None


class Chart:
    """The automaton of a space, taken in steps."""

    def __init__(self, space: SearchSpace, vocabulary: Vocabulary) -> None:
        """Chart `space`, all of whose options are in `vocabulary`."""
        self.space, self.vocabulary = space, vocabulary
        self._automaton = space.automaton
        self._steps: dict[int, Step] = {}
        self.trace = lru_cache(TRACES_KEPT)(self._trace)

    def step(self, state: int) -> Step:
        """Return the step that begins in `state`."""
        if state not in self._steps:
            self._steps[state] = self._step(state)
        return self._steps[state]

    def _step(self, state: int) -> Step:
        states = [state]
        decision = self._automaton.decisions[state]
        anchor = is_connection(decision)
        while anchor and self._goes_on(states[-1]):
            states.append(self._successors(states[-1])[0])
        decisions = [self._automaton.decisions[state] for state in states]
        return Step(
            anchor=anchor,
            layer=decision.layer,
            words=tuple(map(self.vocabulary.source, decisions))
            if anchor
            else self.vocabulary.options(decision),
            sources=tuple(d.source for d in decisions if d.source is not None) if anchor else (),
            width=len(states),
            successors=self._successors(states[-1]),
        )

    def _goes_on(self, state: int) -> bool:
        """Return whether the connection after the one in `state` is decided in the same step."""
        first, second = self._successors(state)
        if first != second or first == self._automaton.end:
            return False
        here, there = self._automaton.decisions[state], self._automaton.decisions[first]
        return is_connection(there) and (here.name, here.layer) == (there.name, there.layer)

    def _successors(self, state: int) -> tuple[int, ...]:
        options = self._automaton.num_options[state]
        return tuple(self._automaton.successor[state, :options].tolist())

    def path(self, tokens: Tokens) -> tuple[int, ...]:
        """Return the states in which the steps of a string, or of its beginning, begin.

        Raises ValueError if no string begins like this, or if it breaks off inside a step.
        """
        path, state, written = [], 0, 0
        try:
            while written < len(tokens):
                if state == self._automaton.end:
                    raise IndexError
                step = self._steps.get(state) or self.step(state)
                path.append(state)
                written += step.width
                state = step.successors[tokens[written - 1]]
        except IndexError:
            raise ValueError(f"{tokens} is no string of {self.space}") from None
        return tuple(path)

    def _trace(self, path: tuple[int, ...]) -> "Trace":
        """Lay out the strings that take `path`."""
        steps = [self.step(state) for state in path]
        most = max((len(step.words) for step in steps if not step.anchor), default=1)
        closed = np.full((len(path), self.vocabulary.num_options), CLOSED, np.float32)
        softmaxes: list[tuple[int, int, list[int]]] = []
        bits: list[tuple[int, int, int, int]] = []
        heard: dict[int, int] = {}
        position = 0
        for number, step in enumerate(steps):
            if step.anchor:
                for word, source in zip(step.words, step.sources, strict=True):
                    bits.append((position, number, word, heard.get(source, -1)))
                    position += 1
                heard[step.layer] = number
            else:
                closed[number, list(step.words)] = 0.0
                padding = [-1] * (most - len(step.words))
                softmaxes.append((position, number, [*step.words, *padding]))
                position += 1
            leaves = number + 1 < len(steps) and steps[number + 1].layer != step.layer
            if leaves:
                heard.setdefault(step.layer, number)
        return Trace(
            closed=closed,
            positions=np.array([position for position, _, _ in softmaxes], np.int64),
            steps=np.array([number for _, number, _ in softmaxes], np.int64),
            words=np.array([words for _, _, words in softmaxes], np.int64).reshape(-1, most),
            bits=np.array(bits, np.int64).reshape(-1, 4).T,
        )


@dataclass(frozen=True, eq=False)
class Trace:
    """What all strings with the same path have in common."""

    closed: Floats
    """(steps, options of the vocabulary): 0 where an option may be chosen, CLOSED elsewhere."""
    positions: Ints
    """(softmaxes,): the place in the string of each token chosen with a softmax."""
    steps: Ints
    """(softmaxes,): the step that chooses it."""
    words: Ints
    """(softmaxes, most options): the number of the word each token stands for; -1 for none."""
    bits: Ints
    """(4, connections): place in the string, step, word of the source, and the step whose hidden
    state stands for the source: its anchor, or its last step if it has none, or -1 if it has no
    step at all."""
