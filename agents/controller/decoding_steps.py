"""Decoding steps: a search space as a graph of the controller's LSTM steps.

A step makes one decision by a softmax over its options, or all connections of a layer by one
sigmoid each (the anchor point of Zoph & Le 2017, section 3.3). Where the outcome of a connection
changes the next decision, the connections are not independent: each then has a step of its own.
"""

from collections.abc import Hashable
from dataclasses import dataclass

from nasgym.errors import InvalidInput
from nasgym.spaces.base import Decision, SearchSpace, Tokens

Path = tuple[int, ...]
"""The steps of a string, encoded: its length, then the state taken at each branch."""


class Vocabulary:
    """Numbers of all inputs of a controller, its words: options, then sources, then "start".

    An option of one decision name is one word in all layers, so layers share what is learned about
    it. Each layer that connections may come from is one word, a source.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Collect the words of `space`."""
        decisions = space.automaton.decisions
        softmaxes = [one for one in decisions if connection_source(one) is None]
        self._options: dict[tuple[str, Hashable], int] = {}
        for decision in softmaxes:
            for option in decision.options:
                self._options.setdefault((decision.name, option), len(self._options))
        self.num_options = max(1, len(self._options))
        """Number of words that are options; at least 1, so that no array is empty."""
        self.widest = max((len(one.options) for one in softmaxes), default=1)
        """Number of options of the widest softmax."""
        asked = {source for one in decisions if (source := connection_source(one)) is not None}
        self.sources = {layer: self.num_options + row for row, layer in enumerate(sorted(asked))}
        """The word of each source, by layer."""
        self.start = self.num_options + len(self.sources)
        """The first input of every string."""
        self.size = self.start + 1
        """Number of words."""

    def options(self, decision: Decision) -> tuple[int, ...]:
        """Return the word of each option of `decision`."""
        return tuple(self._options[decision.name, option] for option in decision.options)


def connection_source(decision: Decision) -> int | None:
    """Return the source layer if `decision` is a connection, a choice of two; else None."""
    return decision.source if len(decision.options) == 2 else None


@dataclass(frozen=True, eq=False)
class DecodingStep:
    """One step of the LSTM."""

    layer: int
    """The layer that its decisions belong to."""
    words: tuple[int, ...]
    """The options of its softmax or, at an anchor, the words of its sources."""
    sources: tuple[int, ...] = ()
    """At an anchor, the source layers; empty at a softmax."""

    @property
    def width(self) -> int:
        """The number of tokens it decides."""
        return len(self.sources) or 1


@dataclass(frozen=True, eq=False)
class Segment:
    """Consecutive steps without a branch, up to the next branch or the end."""

    steps: tuple[DecodingStep, ...]
    """The steps, in order."""
    width: int
    """The number of tokens they decide."""
    successors: tuple[int, ...]
    """At a branch, the automaton's state after each token of the last step; empty at an end."""


class StepGraph:
    """The decoding steps of a space, in segments that are built when first used."""

    def __init__(self, space: SearchSpace, vocabulary: Vocabulary) -> None:
        """`vocabulary` must contain all options and sources of `space`."""
        self.space, self.vocabulary = space, vocabulary
        self._end = space.automaton.end
        self._segments: dict[int, Segment] = {}

    def segment(self, state: int) -> Segment:
        """Return the segment that begins in `state` of the automaton."""
        if state not in self._segments:
            self._segments[state] = self._build_segment(state)
        return self._segments[state]

    def path(self, tokens: Tokens) -> Path:
        """Return the path of a string or of a prefix.

        Raises ValueError if a token at a branch is not legal or the string continues past an end.
        """
        segment = self.segment(0)
        decided, path = segment.width, [len(tokens)]
        while decided < len(tokens):
            if not 0 <= (token := tokens[decided - 1]) < len(segment.successors):
                raise InvalidInput(f"{tuple(tokens)} is no string of {self.space}")
            path.append(segment.successors[token])
            segment = self.segment(path[-1])
            decided += segment.width
        return tuple(path)

    def steps(self, path: Path) -> list[DecodingStep]:
        """Return the steps along `path`; raise ValueError if it ends within an anchor."""
        length, *states = path
        steps: list[DecodingStep] = []
        decided = 0
        for state in (0, *states):
            for step in self.segment(state).steps:
                if decided < length:
                    steps.append(step)
                    decided += step.width
        if decided != length:
            raise InvalidInput(f"{length} tokens of {self.space} end within an anchor")
        return steps

    def _build_segment(self, state: int) -> Segment:
        steps: list[DecodingStep] = []
        successors = [state]
        while len(set(successors)) == 1 and successors[0] != self._end:
            step, successors = self._step(successors[0])
            steps.append(step)
        branch = tuple(successors) if len(set(successors)) > 1 else ()
        return Segment(tuple(steps), sum(step.width for step in steps), branch)

    def _step(self, state: int) -> tuple[DecodingStep, list[int]]:
        """Return the step that begins in `state`, and the states after its last decision."""
        decision, successors = self._decision(state), self._successors(state)
        source = connection_source(decision)
        if source is None:
            return DecodingStep(decision.layer, self.vocabulary.options(decision)), successors
        sources = [source]
        while (source := self._next_source(decision, successors)) is not None:
            sources.append(source)
            successors = self._successors(successors[0])
        words = tuple(self.vocabulary.sources[source] for source in sources)
        return DecodingStep(decision.layer, words, tuple(sources)), successors

    def _next_source(self, decision: Decision, successors: list[int]) -> int | None:
        """Return the next source if it does not depend on the last bit and has the same anchor."""
        if len(set(successors)) > 1 or successors[0] == self._end:
            return None
        after = self._decision(successors[0])
        if (after.name, after.layer) != (decision.name, decision.layer):
            return None
        return connection_source(after)

    def _decision(self, state: int) -> Decision:
        return self.space.automaton.decisions[state]

    def _successors(self, state: int) -> list[int]:
        automaton = self.space.automaton
        successors: list[int] = automaton.successor[state, : automaton.num_options[state]].tolist()
        return successors
