"""A search space: a grammar whose strings of tokens describe architectures.

The grammar is a finite automaton, and its states are `Decision`s. A subclass defines three methods:
`first` returns the first decision, `following` the decision after a token, and `decode` the
architecture of a finished string. All other methods follow from these.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgym.errors import InvalidInput

Tokens = tuple[int, ...]

MAX_STATES = 1_000_000
"""Largest number of decisions of an automaton; a grammar with more remembers too much."""

MAX_ENUMERATED = 100_000
"""Largest space in which `encode` tries all strings if the space does not define `choice`."""


@dataclass(frozen=True)
class Decision:
    """A hyper-parameter to choose: one state of the automaton."""

    name: str
    """Name of the hyper-parameter ("filter_height", ...); the controller has a head per name."""
    options: tuple[Hashable, ...]
    """The values to choose from; a token is an index into this tuple."""
    layer: int = 0
    """Number of the layer, from 1; 0 if the decision belongs to no layer."""
    source: int | None = None
    """For a skip connection: number of the earlier layer that it starts at."""
    memory: Hashable = None
    """Anything else that the grammar must remember; part of the state."""

    def __post_init__(self) -> None:
        if not isinstance(self.options, tuple) or not self.options:
            raise InvalidInput(f"decision {self.name!r} needs a tuple of at least one option")

    @property
    def key(self) -> tuple[str, int, int | None]:
        """Return name, layer and source: the same in all strings for the same hyper-parameter."""
        return (self.name, self.layer, self.source)


@dataclass(frozen=True, eq=False)
class Automaton:
    """A space compiled to arrays: a batch of strings advances one token in a few look-ups.

    State 0 is the first decision. State `end` marks a finished string: it has one option, token 0,
    and leads back to itself, so strings of different length can be padded.
    """

    decisions: tuple[Decision, ...]
    """The decision of each state except the end."""
    num_options: NDArray[np.int64]
    """(states + 1,): number of legal tokens."""
    successor: NDArray[np.int64]
    """(states + 1, max options): the next state; the end for an illegal token."""
    mask: NDArray[np.int8]
    """(states + 1, max options): 1 for a legal token, else 0."""
    remaining: NDArray[np.int64]
    """(states + 1,): tokens on the longest way to the end."""
    completions: tuple[int, ...]
    """(states + 1): exact number of ways to the end."""

    @property
    def end(self) -> int:
        """Return the state that marks a finished string."""
        return len(self.decisions)


class SearchSpace(ABC):
    """A set of architectures, each written as a string of tokens.

    A string is a tuple of ints. Methods that draw at random take a `numpy.random.Generator`.
    Spaces are immutable.
    """

    layers: int | None = None
    """Number of layers that every string describes; None if the space has no such number."""
    max_layers: int | None = None
    """Maximum depth for `with_layers`."""

    @abstractmethod
    def first(self) -> Decision:
        """Return the first decision of every string."""

    @abstractmethod
    def following(self, decision: Decision, token: int) -> Decision | None:
        """Return the decision that follows `token` at `decision`; None ends the string."""

    @abstractmethod
    def decode(self, tokens: Sequence[int]) -> Any:
        """Return the architecture of a finished string: dataclasses, lists, dicts, numbers, text.

        Raises ValueError if the string is not in the space. `walk` does, so a `decode` that reads
        the tokens with `walk` needs no other check, and its callers need none before it.
        """

    # Optional methods of a space --------------------------------------------------------------

    def choice(self, architecture: Any, decision: Decision) -> Hashable:
        """Return the option that `architecture` has at `decision`; `encode` needs it.

        Without it, `encode` tries all strings, which works for small spaces only.
        """
        raise NotImplementedError

    def canonical(self, architecture: Any) -> Any:
        """Return the representative of all architectures that build the same network."""
        return architecture

    def with_layers(self, layers: int) -> "SearchSpace":
        """Return the same space at another depth.

        A string of the shallower space is a prefix of strings of the deeper one. Raises ValueError
        if the space has only one depth.
        """
        raise InvalidInput(
            f"{type(self).__name__} has one depth: it cannot be given {layers} layers"
        )

    # Methods of every space -------------------------------------------------------------------

    @cached_property
    def automaton(self) -> Automaton:
        """The grammar compiled to arrays."""
        return _compile(self)

    @property
    def max_length(self) -> int:
        """The length of the longest string."""
        return int(self.automaton.remaining[0])

    @property
    def max_options(self) -> int:
        """The largest number of options of any decision."""
        return int(self.automaton.num_options.max())

    @property
    def size(self) -> int:
        """The exact number of strings."""
        return self.automaton.completions[0]

    def walk(self, tokens: Sequence[int]) -> Iterator[tuple[Decision, int]]:
        """Yield each decision of a finished string with the token chosen there.

        Raises ValueError at the first token that leaves the space, or at the end of a string that
        is unfinished; the message names the position.
        """
        state = yield from self.walk_prefix(tokens)
        if state != self.automaton.end:
            raise InvalidInput(
                f"the string stops after {len(tokens)} tokens, before "
                f"{self.automaton.decisions[state].name!r}"
            )

    def walk_prefix(self, tokens: Sequence[int]) -> Generator[tuple[Decision, int], None, int]:
        """Do the same for a string that may be unfinished, and return the state after it."""
        automaton, state = self.automaton, 0
        for position, token in enumerate(tokens):
            if state == automaton.end:
                raise InvalidInput(f"the string has {len(tokens)} tokens but ends after {position}")
            decision = automaton.decisions[state]
            if not 0 <= token < len(decision.options):
                raise InvalidInput(
                    f"token {token} at position {position} is none of the "
                    f"{len(decision.options)} options of {decision.name!r}"
                )
            yield decision, int(token)
            state = int(automaton.successor[state, token])
        return state

    def contains(self, tokens: Sequence[int]) -> bool:
        """Return whether `tokens` is a finished string of the space."""
        try:
            for _ in self.walk(tokens):
                pass
        except ValueError:
            return False
        return True

    def __iter__(self) -> Iterator[Tokens]:
        """Yield every string once, in lexicographic order."""
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
        """Return the string at `index` in lexicographic order, without iterating."""
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
        """Return the position of a string in lexicographic order: the inverse of `string`.

        Raises ValueError if the string is not in the space.
        """
        automaton, state, index = self.automaton, 0, 0
        for _, token in self.walk(tokens):
            successors = automaton.successor[state]
            index += sum(automaton.completions[smaller] for smaller in successors[:token])
            state = int(successors[token])
        return index

    def sample(self, rng: np.random.Generator) -> Tokens:
        """Draw a string by choosing uniformly at every decision."""
        return self._write(lambda decision: int(rng.integers(len(decision.options))))

    def sample_uniform(self, rng: np.random.Generator) -> Tokens:
        """Draw uniformly among all strings."""
        return self.string(_integer_below(self.size, rng))

    def encode(self, architecture: Any) -> Tokens:
        """Return the string that describes `architecture`.

        Raises ValueError if there is none, and NotImplementedError if the space defines no `choice`
        and has too many strings to try them all.
        """
        try:
            return self._write(lambda decision: self._token(architecture, decision))
        except NotImplementedError:
            if self.size > MAX_ENUMERATED:
                raise NotImplementedError(
                    f"define {type(self).__name__}.choice(architecture, decision) to encode in a "
                    f"space of {self.size} strings"
                ) from None
        for tokens in self:
            if self.decode(tokens) == architecture:
                return tokens
        raise InvalidInput(f"no string of {type(self).__name__} means {architecture!r}")

    def mutate(self, tokens: Sequence[int], rng: np.random.Generator) -> Tokens:
        """Draw a string that differs from `tokens` in one decision.

        All other choices stay if they are still legal. New decisions, which appear after the change
        or because the string comes from a shallower space, are drawn uniformly. Returns `tokens`
        unchanged only if no decision has a second option.
        """
        choices = self._choices(tokens)
        open_keys = [key for key, (decision, _) in choices.items() if len(decision.options) > 1]
        changed = dict(choices)
        if open_keys:
            key = open_keys[int(rng.integers(len(open_keys)))]
            decision, token = choices[key]
            count = len(decision.options)
            changed[key] = (decision, (token + 1 + int(rng.integers(count - 1))) % count)
        return self._rewrite(changed, lambda decision: int(rng.integers(len(decision.options))))

    def neighbours(self, tokens: Sequence[int]) -> list[Tokens]:
        """Return all strings that differ from `tokens` in one decision, in a fixed order.

        All other choices stay if they are still legal; new decisions take their first option.
        """
        choices = self._choices(tokens)
        found: dict[Tokens, None] = {}
        for key, (decision, token) in choices.items():
            for other in range(len(decision.options)):
                if other != token:
                    changed = {**choices, key: (decision, other)}
                    found[self._rewrite(changed, lambda _: 0)] = None
        return list(found)

    # ------------------------------------------------------------------------------------------

    def _write(self, choose: Callable[[Decision], int]) -> Tokens:
        """Return the string whose token at each decision is `choose(decision)`."""
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
            raise InvalidInput(
                f"{option!r} is none of the options of {decision.name!r} in layer "
                f"{decision.layer}: {decision.options}"
            ) from None

    def _choices(self, tokens: Sequence[int]) -> dict[Hashable, tuple[Decision, int]]:
        """Map the key of each decision of a string or prefix to the decision and its token."""
        return {decision.key: (decision, token) for decision, token in self.walk_prefix(tokens)}

    def _rewrite(
        self,
        choices: dict[Hashable, tuple[Decision, int]],
        fill: Callable[[Decision], int],
    ) -> Tokens:
        """Return the string with `choices` where they are legal, and with `fill` elsewhere."""

        def choose(decision: Decision) -> int:
            before, token = choices.get(decision.key, (None, 0))
            if before is None or before.options[token] not in decision.options:
                return fill(decision)
            return decision.options.index(before.options[token])

        return self._write(choose)


def deepest(space: SearchSpace) -> SearchSpace:
    """Return the space at its maximum depth."""
    return space if space.max_layers is None else space.with_layers(space.max_layers)


def _compile(space: SearchSpace) -> Automaton:
    """Follow every token from the first decision, breadth first, and return the automaton."""
    first = space.first()
    index: dict[Decision, int] = {first: 0}
    decisions, successors = [first], []
    for decision in decisions:  # the loop appends to it
        row = []
        for token in range(len(decision.options)):
            successor = space.following(decision, token)
            if successor is not None and successor not in index:
                index[successor] = len(decisions)
                decisions.append(successor)
            row.append(-1 if successor is None else index[successor])
        successors.append(row)
        if len(decisions) > MAX_STATES:
            raise InvalidInput(
                f"{type(space).__name__} has more than {MAX_STATES:,} different decisions; "
                f"let `Decision.memory` remember less"
            )
    end = len(decisions)
    num_options = np.array([len(row) for row in successors] + [1], dtype=np.int64)
    table = np.full((end + 1, int(num_options.max())), end, dtype=np.int64)
    for state, row in enumerate(successors):
        table[state, : len(row)] = [end if successor < 0 else successor for successor in row]
    remaining, completions = _count_ahead(space, table, num_options)
    return Automaton(
        decisions=tuple(decisions),
        num_options=num_options,
        successor=table,
        mask=(np.arange(table.shape[1]) < num_options[:, None]).astype(np.int8),
        remaining=np.array(remaining, dtype=np.int64),
        completions=tuple(completions),
    )


def _count_ahead(
    space: SearchSpace, table: NDArray[np.int64], num_options: NDArray[np.int64]
) -> tuple[list[int], list[int]]:
    """Return the longest way to the end and the number of ways to the end, for every state."""
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
        raise InvalidInput(f"{type(space).__name__}.following leads in a circle: no string may end")
    return remaining, completions


def _integer_below(bound: int, rng: np.random.Generator) -> int:
    """Draw an integer uniformly from [0, bound), of any size."""
    bits = bound.bit_length()
    while True:
        drawn = int.from_bytes(rng.bytes((bits + 7) // 8), "little") & ((1 << bits) - 1)
        if drawn < bound:
            return drawn
