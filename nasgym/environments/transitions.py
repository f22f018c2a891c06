"""The transitions of an environment: what each action does in each state of the automaton."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgym.spaces.base import SearchSpace


@dataclass(frozen=True, eq=False)
class Transitions:
    """The automaton of a space, folded to a fixed number of actions and padded.

    At a decision with n options action a means token a % n. After the end of a string actions
    write nothing. Shapes are (states + 1, actions); the last row is the end.
    """

    written: NDArray[Any]
    """The entry of the observation: the token plus one, 0 after the end."""
    successor: NDArray[np.int64]
    """The next state."""
    mask: NDArray[np.int8]
    """1 where the action is a token of the decision; at the end action 0 alone."""
    length: int
    """Tokens of the longest string."""
    linear: bool
    """Whether no token changes which decision follows: the state is then the position."""

    @classmethod
    def of(cls, space: SearchSpace, actions: int) -> "Transitions":
        """Return the transitions in `space` for an environment with `actions` actions."""
        automaton = space.automaton
        states, end = np.arange(automaton.end + 1)[:, None], automaton.end
        token = np.arange(actions) % automaton.num_options[:, None]
        written = (token + 1).astype(np.min_scalar_type(actions))
        written[end] = 0
        successor = automaton.successor[states, token]
        return cls(
            written=written,
            successor=successor,
            mask=(np.arange(actions) < automaton.num_options[:, None]).astype(np.int8),
            length=space.max_length,
            linear=bool((successor[:end] == states[:end] + 1).all()),
        )
