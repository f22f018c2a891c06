"""A search space: the grammar whose strings are architectures.

The grammar is a finite automaton over tokens and a `Decision` is its state. A subclass says three
things: which decision comes `first`, which one is `following` a token, and what a finished string
means (`decode`). Everything else is written once, here.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tokens = tuple[int, ...]

MOST_STATES = 1_000_000
"""An automaton with more decisions than this is refused: its grammar remembers too much."""

MOST_ENUMERATED = 100_000
"""The largest space in which `encode` looks a string up when a space defines no `choice`."""


@dataclass(frozen=True)
class Decision:
    """One hyper-parameter to choose: a state of the automaton."""

    name: str
    """What is chosen ("filter_height", ...); decisions of one name share the controller's head."""
    options: tuple[Hashable, ...]
    """The values to choose from; a token is an index into them."""
    layer: int = 0
    """The layer it belongs to, from 1; 0 where layers mean nothing."""
    source: int | None = None
    """For a connection: the earlier layer asked about."""
    memory: Hashable = None
    """Whatever else the grammar must remember on its way; part of the state."""

    def __post_init__(self) -> None:
        if not isinstance(self.options, tuple) or not self.options:
            raise ValueError(f"decision {self.name!r} needs a tuple of at least one option")

    @property
    def place(self) -> tuple[str, int, int | None]:
        """Return what identifies the decision in a network, whatever led to it."""
        return (self.name, self.layer, self.source)


@dataclass(frozen=True, eq=False)
class Automaton:
    """A space compiled to arrays: m strings advance one token in a few look-ups.

    State 0 is the first decision. State `end` stands for "the string is finished": it has one
    option, token 0, and leads back to itself, so that strings of different length can be padded.
    """

    decisions: tuple[Decision, ...]
    """The decision of each state but the end."""
    num_options: NDArray[np.int64]
    """(states + 1,): how many tokens are legal."""
    successor: NDArray[np.int64]
    """(states + 1, most options): the next state; the end where a token is not legal."""
    mask: NDArray[np.int8]
    """(states + 1, most options): 1 where a token is legal."""
    remaining: NDArray[np.int64]
    """(states + 1,): tokens of the longest string from here to the end."""
    completions: tuple[int, ...]
    """(states + 1): how many strings lead from here to the end, exactly."""

    @property
    def end(self) -> int:
        """Return the state of a finished string."""
        return len(self.decisions)


class SearchSpace(ABC):
    """A set of architectures written as strings of tokens.

    Strings are tuples of plain ints. All methods that draw take a `numpy.random.Generator`.
    Spaces are immutable.
    """

    layers: int | None = None
    """The depth of every string, where depth means something."""
    max_layers: int | None = None
    """The deepest that `with_layers` may go."""

    @abstractmethod
    def first(self) -> Decision:
        """Return the decision that every string begins with."""

    @abstractmethod
    def following(self, decision: Decision, token: int) -> Decision | None:
        """Return the decision after `token` was chosen at `decision`; None ends the string."""

    @abstractmethod
    def decode(self, tokens: Sequence[int]) -> Any:
        """Return the architecture a finished string means, as plain data."""

    # What a space may add ---------------------------------------------------------------------

    def choice(self, architecture: Any, decision: Decision) -> Hashable:
        """Return the option `architecture` holds at `decision`: what `encode` needs.

        A space that leaves it out can still encode as long as it can be enumerated.
        """
        raise NotImplementedError

    def canonical(self, architecture: Any) -> Any:
        """Return the one architecture that stands for all that build the same network."""
        return architecture

    def with_layers(self, layers: int) -> "SearchSpace":
        """Return the space of the same strings at another depth.

        A string of the shallower space is a prefix in the deeper one. Raises ValueError if the
        space has one depth only.
        """
        raise ValueError(f"{type(self).__name__} has one depth: it cannot be given {layers} layers")

    # What every space has ---------------------------------------------------------------------

    @cached_property
    def automaton(self) -> Automaton:
        """The space compiled to arrays."""
        return _compile(self)

    @property
    def max_length(self) -> int:
        """The number of tokens in the longest string."""
        return int(self.automaton.remaining[0])

    @property
    def max_options(self) -> int:
        """The number of options of the widest decision."""
        return int(self.automaton.num_options.max())

    @property
    def size(self) -> int:
        """The number of strings, exactly, however large."""
        return self.automaton.completions[0]

    def walk(self, tokens: Sequence[int]) -> Iterator[tuple[Decision, int]]:
        """Yield each decision with the token chosen at it.

        Raises ValueError, naming the place, as soon as the string leaves the space, and at its
        end if it stops short.
        """
        state = yield from self.begin(tokens)
        if state != self.automaton.end:
            raise ValueError(
                f"the string stops after {len(tokens)} tokens, before "
                f"{self.automaton.decisions[state].name!r}"
            )

    def begin(self, tokens: Sequence[int]) -> Generator[tuple[Decision, int], None, int]:
        """Yield the same for a string that may be unfinished, and return the state it leads to."""
        automaton, state = self.automaton, 0
        for position, token in enumerate(tokens):
            if state == automaton.end:
                raise ValueError(f"the string has {len(tokens)} tokens but ends after {position}")
            decision = automaton.decisions[state]
            if not 0 <= token < len(decision.options):
                raise ValueError(
                    f"token {token} at position {position} is none of the "
                    f"{len(decision.options)} options of {decision.name!r}"
                )
            yield decision, int(token)
            state = int(automaton.successor[state, token])
        return state

    def contains(self, tokens: Sequence[int]) -> bool:
        """Return whether `tokens` is a finished string of this space."""
        try:
            for _ in self.walk(tokens):
                pass
        except ValueError:
            return False
        return True

    def __iter__(self) -> Iterator[Tokens]:
        """Yield every string once, in the order of their tokens."""
        automaton = self.automaton
        stack: list[tuple[int, Tokens]] = [(0, ())]
        while stack:
            state, tokens = stack.pop()
            if state == automaton.end:
                yield tokens
                continue
            for token in reversed(range(int(automaton.num_options[state]))):
                stack.append((int(automaton.successor[state, token]), (*tokens, token)))

    def string(self, index: int) -> Tokens:
        """Return the string at `index` in the order of iteration, without iterating."""
        if not 0 <= index < self.size:
            raise IndexError(f"string {index} of a space of {self.size}")
        automaton, state, tokens = self.automaton, 0, []
        while state != automaton.end:
            for token in range(int(automaton.num_options[state])):
                successor = int(automaton.successor[state, token])
                if index < automaton.completions[successor]:
                    break
                index -= automaton.completions[successor]
            tokens.append(token)
            state = successor
        return tuple(tokens)

    def index(self, tokens: Sequence[int]) -> int:
        """Return the place of a string in the order of iteration: the inverse of `string`.

        Raises ValueError if the string is not in the space.
        """
        automaton, state, index = self.automaton, 0, 0
        for _, token in self.walk(tokens):
            successors = automaton.successor[state]
            index += sum(automaton.completions[smaller] for smaller in successors[:token])
            state = int(successors[token])
        return index

    def sample(self, rng: np.random.Generator) -> Tokens:
        """Draw a string, every decision uniformly among its options."""
        return self._complete(lambda decision: int(rng.integers(len(decision.options))))

    def sample_uniform(self, rng: np.random.Generator) -> Tokens:
        """Draw a string, every string of the space with the same probability."""
        return self.string(_integer_below(self.size, rng))

    def encode(self, architecture: Any) -> Tokens:
        """Return the string that means `architecture`.

        Raises ValueError if none does, NotImplementedError if the space defines no `choice` and
        is too large to look through.
        """
        try:
            return self._complete(lambda decision: self._token(architecture, decision))
        except NotImplementedError:
            if self.size > MOST_ENUMERATED:
                raise NotImplementedError(
                    f"define {type(self).__name__}.choice(architecture, decision) to encode in a "
                    f"space of {self.size} strings"
                ) from None
        for tokens in self:
            if self.decode(tokens) == architecture:
                return tokens
        raise ValueError(f"no string of {type(self).__name__} means {architecture!r}")

    def mutate(self, tokens: Sequence[int], rng: np.random.Generator) -> Tokens:
        """Draw a string that differs from `tokens` in one decision.

        The other choices are kept wherever they are still legal; decisions that the change brings
        in, or that follow the end of a string from a shallower space, are drawn uniformly.
        Returns `tokens` themselves only if the string leaves nothing to change.
        """
        kept = self._choices(tokens)
        open_places = [place for place, (decision, _) in kept.items() if len(decision.options) > 1]
        changed = dict(kept)
        if open_places:
            place = open_places[int(rng.integers(len(open_places)))]
            decision, token = kept[place]
            other = (token + 1 + int(rng.integers(len(decision.options) - 1))) % len(
                decision.options
            )
            changed[place] = (decision, other)
        return self._rewrite(changed, lambda decision: int(rng.integers(len(decision.options))))

    def neighbours(self, tokens: Sequence[int]) -> list[Tokens]:
        """Return the strings with one decision changed, without repeats, in a fixed order.

        The other choices are kept wherever they are still legal; decisions that a change brings
        in take their first option.
        """
        kept = self._choices(tokens)
        found: dict[Tokens, None] = {}
        for place, (decision, token) in kept.items():
            for other in range(len(decision.options)):
                if other != token:
                    changed = {**kept, place: (decision, other)}
                    found[self._rewrite(changed, lambda _: 0)] = None
        return list(found)

    # ------------------------------------------------------------------------------------------

    def _complete(self, choose: Callable[[Decision], int]) -> Tokens:
        """Write a string by asking `choose` for a token at every decision."""
        automaton, state, tokens = self.automaton, 0, []
        while state != automaton.end:
            token = choose(automaton.decisions[state])
            tokens.append(token)
            state = int(automaton.successor[state, token])
        return tuple(tokens)

    def _token(self, architecture: Any, decision: Decision) -> int:
        option = self.choice(architecture, decision)
        try:
            return decision.options.index(option)
        except ValueError:
            raise ValueError(
                f"{option!r} is none of the options of {decision.name!r} in layer "
                f"{decision.layer}: {decision.options}"
            ) from None

    def _choices(self, tokens: Sequence[int]) -> dict[Hashable, tuple[Decision, int]]:
        """Map each place of a string, or of the beginning of one, to what was chosen there."""
        return {decision.place: (decision, token) for decision, token in self.begin(tokens)}

    def _rewrite(
        self,
        choices: dict[Hashable, tuple[Decision, int]],
        fill: Callable[[Decision], int],
    ) -> Tokens:
        """Write a string with `choices` where they are legal and `fill` elsewhere."""

        def choose(decision: Decision) -> int:
            before, token = choices.get(decision.place, (None, 0))
            if before is None or before.options[token] not in decision.options:
                return fill(decision)
            return decision.options.index(before.options[token])

        return self._complete(choose)


def deepest(space: SearchSpace) -> SearchSpace:
    """Return the space at the greatest depth it can have."""
    return space if space.max_layers is None else space.with_layers(space.max_layers)


def _compile(space: SearchSpace) -> Automaton:
    """Follow every token from the first decision and lay the automaton out in arrays."""
    first = space.first()
    index: dict[Decision, int] = {first: 0}
    decisions, successors = [first], []
    for decision in decisions:  # grows while it is walked: breadth first
        row = []
        for token in range(len(decision.options)):
            successor = space.following(decision, token)
            if successor is not None and successor not in index:
                index[successor] = len(decisions)
                decisions.append(successor)
            row.append(-1 if successor is None else index[successor])
        successors.append(row)
        if len(decisions) > MOST_STATES:
            raise ValueError(
                f"{type(space).__name__} has more than {MOST_STATES:,} different decisions; "
                f"let `Decision.memory` remember less"
            )
    end = len(decisions)
    num_options = np.array([len(row) for row in successors] + [1], dtype=np.int64)
    table = np.full((end + 1, int(num_options.max())), end, dtype=np.int64)
    for state, row in enumerate(successors):
        table[state, : len(row)] = [end if successor < 0 else successor for successor in row]
    remaining, completions = _measure(space, table, num_options)
    return Automaton(
        decisions=tuple(decisions),
        num_options=num_options,
        successor=table,
        mask=(np.arange(table.shape[1]) < num_options[:, None]).astype(np.int8),
        remaining=np.array(remaining, dtype=np.int64),
        completions=tuple(completions),
    )


def _measure(
    space: SearchSpace, table: NDArray[np.int64], num_options: NDArray[np.int64]
) -> tuple[list[int], list[int]]:
    """Return the longest remaining length and the number of completions of every state."""
    end = len(table) - 1
    rows = [table[state, : num_options[state]].tolist() for state in range(end)]
    waiting = [len(row) for row in rows]
    predecessors: list[list[int]] = [[] for _ in range(end + 1)]
    for state, row in enumerate(rows):
        for successor in row:
            predecessors[successor].append(state)
    remaining, completions = [0] * (end + 1), [0] * end + [1]
    ready, settled = [end], 0
    while ready:
        successor = ready.pop()
        settled += 1
        for state in predecessors[successor]:
            remaining[state] = max(remaining[state], remaining[successor] + 1)
            completions[state] += completions[successor]
            waiting[state] -= 1
            if waiting[state] == 0:
                ready.append(state)
    if settled != end + 1:
        raise ValueError(f"{type(space).__name__}.following leads in a circle: no string may end")
    return remaining, completions


def _integer_below(bound: int, rng: np.random.Generator) -> int:
    """Draw an integer in [0, bound) uniformly, however large the bound."""
    bits = bound.bit_length()
    while True:
        drawn = int.from_bytes(rng.bytes((bits + 7) // 8), "little") & ((1 << bits) - 1)
        if drawn < bound:
            return drawn
