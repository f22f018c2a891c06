"""Steps: a search space as the controller's LSTM meets it.

A step decides one decision, with a softmax over its options, or all the connections of a layer,
with one sigmoid for each (the anchor point of Zoph & Le 2017, section 3.3). Connections whose
outcome decides what comes next are not independent: they get a step each.
"""

from collections.abc import Hashable
from dataclasses import dataclass

from nasgym.space import Decision, SearchSpace, Tokens


class Vocabulary:
    """Numbers for all that a controller can be told: options first, then sources, then "start".

    An option is one word wherever it occurs under one decision name, so layers share what is
    learned about it; a source is one word for each layer that connections may come from.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Collect the words of `space`."""
        options: dict[tuple[str, Hashable], int] = {}
        sources: set[int] = set()
        for decision in space.automaton.decisions:
            if (source := connection_source(decision)) is not None:
                sources.add(source)
                continue
            for option in decision.options:
                options.setdefault((decision.name, option), len(options))
        self._options = options
        self._sources = {source: len(options) + row for row, source in enumerate(sorted(sources))}
        self.num_options = len(options)
        self.start = len(options) + len(sources)
        self.size = self.start + 1

    def options(self, decision: Decision) -> tuple[int, ...]:
        """Return the word of each option of `decision`."""
        return tuple(self._options[decision.name, option] for option in decision.options)

    def source(self, layer: int) -> int:
        """Return the word of `layer` as a source of connections."""
        return self._sources[layer]

    def source_or_none(self, layer):
        return self._sources.get(layer)


def connection_source(decision: Decision) -> int | None:
    """Return the layer that `decision` asks about if it is a connection, a bit; else None."""
    return decision.source if len(decision.options) == 2 else None


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the LSTM."""

    layer: int
    """The layer of its decisions."""
    words: tuple[int, ...]
    """What it chooses from: one of the options or, at an anchor, any of the sources."""
    sources: tuple[int, ...]
    """At an anchor, the layers asked about; elsewhere empty."""
    successors: tuple[int, ...]
    """The state of the automaton after each token of the last of its decisions."""
    onward: int | None
    """The state after it where that does not depend on the token, else None: strings part."""

    @property
    def width(self) -> int:
        """The number of tokens it writes."""
        return len(self.sources) or 1


class Chart:
    """The automaton of a space, taken in steps."""

    def __init__(self, space: SearchSpace, vocabulary: Vocabulary) -> None:
        """Chart `space`, all of whose options and sources are in `vocabulary`."""
        self.space, self.vocabulary = space, vocabulary
        self.end = space.automaton.end
        self._steps: dict[int, Step] = {}

    def step(self, state: int) -> Step:
        """Return the step that begins in `state`."""
        if state not in self._steps:
            self._steps[state] = self._step(state)
        return self._steps[state]

    def path(self, tokens: Tokens) -> tuple[int, ...]:
        """Return the states where the steps of a string begin, or of the beginning of one.

        Raises ValueError if no string begins like that, or if it breaks off within an anchor.
        """
        path, state, written, steps = [], 0, 0, self._steps
        try:
            while written < len(tokens):
                path.append(state)
                step = steps.get(state) or self.step(state)
                written += step.width
                state = step.successors[tokens[written - 1]]
        except IndexError:
            raise ValueError(f"{tuple(tokens)} is no string of {self.space}") from None
        return tuple(path)

    def _step(self, state: int) -> Step:
        decision = self._decision(state)
        sources, last = self._anchor(state)
        if sources:
            words = tuple(self.vocabulary.source(source) for source in sources)
        else:
            words = self.vocabulary.options(decision)
        successors = self._successors(last)
        onward = successors[0] if len(set(successors)) == 1 else None
        return Step(decision.layer, words, sources, successors, onward)

    def _anchor(self, state: int) -> tuple[tuple[int, ...], int]:
        """Return the sources asked about from `state` on, and the state of the last question."""
        first = self._decision(state)
        sources: list[int] = []
        last = state
        while state != self.end:
            decision = self._decision(state)
            source = connection_source(decision)
            if source is None or (decision.name, decision.layer) != (first.name, first.layer):
                break
            sources.append(source)
            last = state
            one, other = self._successors(state)
            if one != other:
                break
            state = one
        return tuple(sources), last

    def _decision(self, state: int) -> Decision:
        return self.space.automaton.decisions[state]

    def _successors(self, state: int) -> tuple[int, ...]:
        automaton = self.space.automaton
        return tuple(automaton.successor[state, : automaton.num_options[state]].tolist())
