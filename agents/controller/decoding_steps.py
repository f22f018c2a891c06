"""Steps: a search space as the controller's LSTM meets it.

A step decides one decision, with a softmax over its options, or all the connections of a layer,
with one sigmoid for each (the anchor point of Zoph & Le 2017, section 3.3). Connections whose
outcome decides what comes next are not independent: they get a step each.
"""

from collections.abc import Hashable
from dataclasses import dataclass

from nasgym.spaces.base import Decision, SearchSpace, Tokens

Route = tuple[int, ...]
"""All that decides which steps a string takes: its length, and where it went at each parting."""


class Vocabulary:
    """Numbers for all that a controller can be told: options first, then sources, then "start".

    An option is one word wherever it occurs under one decision name, so layers share what is
    learned about it; a source is one word for each layer that connections may come from.
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
        """Words that are options; at least one, so that no array is empty."""
        self.widest = max((len(one.options) for one in softmaxes), default=1)
        """Options of the widest softmax."""
        asked = {source for one in decisions if (source := connection_source(one)) is not None}
        self.sources = {layer: self.num_options + row for row, layer in enumerate(sorted(asked))}
        """The word of each layer that is a source."""
        self.start = self.num_options + len(self.sources)
        """The word that begins every string."""
        self.size = self.start + 1
        """Words in all."""

    def options(self, decision: Decision) -> tuple[int, ...]:
        """Return the word of each option of `decision`."""
        return tuple(self._options[decision.name, option] for option in decision.options)


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
    sources: tuple[int, ...] = ()
    """At an anchor, the layers asked about; elsewhere empty."""

    @property
    def width(self) -> int:
        """The number of tokens it writes."""
        return len(self.sources) or 1


@dataclass(frozen=True, eq=False)
class Stretch:
    """Steps that follow one another whatever is chosen, up to where strings part or end."""

    steps: tuple[Step, ...]
    """The steps, in order."""
    width: int
    """The number of tokens they write."""
    successors: tuple[int, ...]
    """The state of the automaton after each token of the last step; empty where strings end."""


class Chart:
    """The automaton of a space, taken in steps."""

    def __init__(self, space: SearchSpace, vocabulary: Vocabulary) -> None:
        """Chart `space`, whose options and sources are all in `vocabulary`."""
        self.space, self.vocabulary = space, vocabulary
        self._end = space.automaton.end
        self._stretches: dict[int, Stretch] = {}

    def stretch(self, state: int) -> Stretch:
        """Return the steps from `state` on."""
        if state not in self._stretches:
            self._stretches[state] = self._walk(state)
        return self._stretches[state]

    def route(self, tokens: Tokens) -> Route:
        """Return the route of a string or of the beginning of one.

        Raises ValueError if it leaves the space at a parting or goes on after an end.
        """
        stretch = self.stretch(0)
        written, route = stretch.width, [len(tokens)]
        while written < len(tokens):
            if not 0 <= (token := tokens[written - 1]) < len(stretch.successors):
                raise ValueError(f"{tuple(tokens)} is no string of {self.space}")
            route.append(stretch.successors[token])
            stretch = self.stretch(route[-1])
            written += stretch.width
        return tuple(route)

    def steps(self, route: Route) -> list[Step]:
        """Return the steps along `route`; raise ValueError if it breaks off within an anchor."""
        length, *states = route
        steps: list[Step] = []
        written = 0
        for state in (0, *states):
            for step in self.stretch(state).steps:
                if written < length:
                    steps.append(step)
                    written += step.width
        if written != length:
            raise ValueError(f"{length} tokens of {self.space} break off within an anchor")
        return steps

    def _walk(self, state: int) -> Stretch:
        steps: list[Step] = []
        successors = [state]
        while len(set(successors)) == 1 and successors[0] != self._end:
            step, successors = self._step(successors[0])
            steps.append(step)
        parting = tuple(successors) if len(set(successors)) > 1 else ()
        return Stretch(tuple(steps), sum(step.width for step in steps), parting)

    def _step(self, state: int) -> tuple[Step, list[int]]:
        """Return the step that begins in `state`, and the states after its last decision."""
        decision, successors = self._decision(state), self._successors(state)
        source = connection_source(decision)
        if source is None:
            return Step(decision.layer, self.vocabulary.options(decision)), successors
        sources = [source]
        while (source := self._next_source(decision, successors)) is not None:
            sources.append(source)
            successors = self._successors(successors[0])
        words = tuple(self.vocabulary.sources[source] for source in sources)
        return Step(decision.layer, words, tuple(sources)), successors

    def _next_source(self, decision: Decision, successors: list[int]) -> int | None:
        """Return the source asked about next if that is sure and still at the anchor."""
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
