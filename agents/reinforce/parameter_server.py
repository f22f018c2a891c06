"""The parameter server and its replicas (Zoph & Le 2017, section 3.2; Dean et al. 2012).

A *shard* holds a part of the controller's parameters and Adam's moments for them; shards do not
overlap. A *replica* samples strings and computes the gradient of their rewards, with the parameters
that it was sent. Both are actors (`nasgym.execution.actors`): requests and answers are plain data,
in which an array is a base64 string.
"""

import base64
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nasgym.agents.base import generator_from, generator_state
from nasgym.agents.controller.controller import Controller
from nasgym.agents.torch_state import one_thread, packed, unpacked
from nasgym.errors import InvalidInput
from nasgym.execution.actor import Actor
from nasgym.spaces.base import SearchSpace

Array = NDArray[np.float32]

Values = Sequence[Array]
"""Values of all parameters, one flat array for each."""

Gradient = Sequence[Array | None]
"""Gradient of each parameter; None for a parameter that did not contribute."""


def encode_arrays(arrays: Gradient) -> list[str | None]:
    """Return arrays as base64 strings."""
    return [
        None if array is None else base64.b64encode(array.tobytes()).decode() for array in arrays
    ]


def decode_arrays(data: Sequence[str | None]) -> list[Array | None]:
    """Return the arrays, read-only, that `encode_arrays` encoded."""
    return [None if one is None else np.frombuffer(base64.b64decode(one), "<f4") for one in data]


class Shard:
    """A part of the parameters, and its optimiser."""

    def __init__(self, lr: float) -> None:
        """`lr` is Adam's learning rate; `load` sets the parameters."""
        self.lr = lr

    def load(self, values: Sequence[str], adam: str | None = None) -> None:
        """Set the values, and the optimiser to what `state` returned or to its initial state."""
        arrays = [torch.tensor(array) for array in decode_arrays(values) if array is not None]
        self._parameters = [torch.nn.Parameter(array) for array in arrays]
        self._adam = torch.optim.Adam(self._parameters, self.lr, fused=True)
        if adam is not None:
            self._adam.load_state_dict(unpacked(base64.b64decode(adam)))

    def apply(self, gradient: Sequence[str | None]) -> list[str | None]:
        """Apply this shard's part of a gradient; return the updated parameters."""
        for parameter, array in zip(self._parameters, decode_arrays(gradient), strict=True):
            # A copy, because torch aligns it. Adam leaves parameters without a gradient unchanged.
            parameter.grad = None if array is None else torch.tensor(array)
        with one_thread():
            self._adam.step()
        return encode_arrays([parameter.detach().numpy() for parameter in self._parameters])

    def state(self) -> str:
        """Return the optimiser's state."""
        return base64.b64encode(packed(self._adam.state_dict())).decode()


class Replica:
    """A replica of the controller. Requests carry all its state, so a lost one loses nothing."""

    def __init__(self, space: SearchSpace, hidden: int, entropy: float) -> None:
        """Create a controller of `space`; `entropy` is the weight of the entropy."""
        self.controller = Controller(space, hidden=hidden)
        self.entropy = entropy
        self._with_layers = lru_cache(maxsize=None)(space.with_layers)

    def sample(
        self, values: Sequence[str], generator: str, count: int, layers: int | None
    ) -> dict[str, Any]:
        """Return `count` "strings" at the depth `layers`, and the new "generator" state."""
        self._load(values)
        rng = generator_from(generator.encode())
        space = None if layers is None else self._with_layers(layers)
        with one_thread():
            strings = self.controller.sample(count, rng, space)
        return {"strings": strings, "generator": generator_state(rng).decode()}

    def gradient(
        self, values: Sequence[str], strings: Sequence[Sequence[int]], advantages: Sequence[float]
    ) -> dict[str, Any]:
        """Return the "gradient" of the loss, and the mean "entropy" of a decision."""
        self._load(values)
        with one_thread():
            log_prob, entropy = self.controller.score([tuple(tokens) for tokens in strings])
            gain = log_prob * torch.tensor(advantages, dtype=torch.float64)
            objective = gain.mean() + self.entropy * entropy.mean()
            self.controller.zero_grad()
            (-objective).backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in self.controller.parameters()]
        flat = [None if one is None else one.flatten().numpy() for one in gradients]
        return {"gradient": encode_arrays(flat), "entropy": entropy.mean().item()}

    def _load(self, values: Sequence[str]) -> None:
        with torch.no_grad():
            for parameter, array in zip(
                self.controller.parameters(), decode_arrays(values), strict=True
            ):
                parameter.copy_(torch.tensor(array).view_as(parameter))


class ParameterServer:
    """The parameters of a controller, held by shards, in versions numbered from 0."""

    def __init__(self, shards: Sequence[Actor], values: Values, accumulate: int = 1) -> None:
        """Distribute `values` over the shards; every `accumulate` gradients make a version.

        Raises ValueError if there are more shards than parameters.
        """
        elements = sum(len(array) for array in values)
        if len(shards) > elements:
            raise InvalidInput(f"{len(shards)} shards are more than {elements} parameters")
        self.shards = shards
        self.accumulate = accumulate
        self.version = 0
        self.versions: dict[int, Values] = {0: values}
        """Values by version: the newest and those that replicas still need."""
        self.pending: list[Gradient] = []
        """Gradients that are not applied yet."""
        self.parts = partition([len(array) for array in values], len(shards))
        self._load([None] * len(shards))

    @property
    def values(self) -> Values:
        """Return the newest values."""
        return self.versions[self.version]

    def apply(self, gradient: Gradient) -> None:
        """Add a gradient; the mean of `accumulate` gradients makes the next version."""
        self.pending.append(gradient)
        if len(self.pending) < self.accumulate:
            return
        whole, self.pending = _mean(self.pending), []
        for shard, part in zip(self.shards, self.parts, strict=True):
            shard.ask("apply", gradient=encode_arrays([_cut(whole[i], a, b) for i, a, b in part]))
        values = [np.empty_like(array) for array in self.values]
        for shard, part in zip(self.shards, self.parts, strict=True):
            for (index, start, stop), array in zip(
                part, decode_arrays(shard.answer()), strict=True
            ):
                values[index][start:stop] = array
        self.version += 1
        self.versions[self.version] = values

    def forget_others(self, kept: set[int]) -> None:
        """Drop the values of all versions except the newest and `kept`."""
        kept = kept | {self.version}
        self.versions = {version: self.versions[version] for version in kept}

    def state(self) -> dict[str, Any]:
        """Return versions, pending gradients and optimisers, for `restore`."""
        for shard in self.shards:
            shard.ask("state")
        return {
            "version": self.version,
            "versions": {number: _tensors(values) for number, values in self.versions.items()},
            "pending": [_tensors(gradient) for gradient in self.pending],
            "adam": [shard.answer() for shard in self.shards],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load what `state` returned; ValueError if it has another number of shards."""
        if len(state["adam"]) != len(self.shards):
            raise InvalidInput(
                f"the state has {len(state['adam'])} shards, not {len(self.shards)}: the number "
                f"cannot change in a run"
            )
        self.version = state["version"]
        self.versions = {number: _arrays(values) for number, values in state["versions"].items()}
        self.pending = [_arrays(gradient) for gradient in state["pending"]]
        self._load(state["adam"])

    def _load(self, adam: Sequence[str | None]) -> None:
        for shard, part, state in zip(self.shards, self.parts, adam, strict=True):
            values = encode_arrays([self.values[index][start:stop] for index, start, stop in part])
            shard.ask("load", values=values, adam=state)
        for shard in self.shards:
            shard.answer()


def partition(sizes: Sequence[int], shards: int) -> list[list[tuple[int, int, int]]]:
    """Cut parameters of these sizes into `shards` parts whose sizes differ by one at most.

    A part is a list of slices (index of the parameter, first element, end), none empty.
    """
    total = sum(sizes)
    ends = [total * (shard + 1) // shards for shard in range(shards)]
    cut: list[list[tuple[int, int, int]]] = []
    waiting = deque((index, 0, size) for index, size in enumerate(sizes))
    done = 0
    for end in ends:
        part = []
        while done < end:
            index, start, stop = waiting.popleft()
            middle = min(stop, start + end - done)
            part.append((index, start, middle))
            done += middle - start
            if middle < stop:
                waiting.appendleft((index, middle, stop))
        cut.append(part)
    return cut


def _mean(gradients: Sequence[Gradient]) -> Gradient:
    """Return the mean gradient; the paper does not say whether it is a mean or a sum."""
    if len(gradients) == 1:
        return gradients[0]
    return [_mean_of(arrays) for arrays in zip(*gradients, strict=True)]


def _mean_of(arrays: Sequence[Array | None]) -> Array | None:
    """Return the mean of the gradients of one parameter; None counts as zero."""
    known = [array for array in arrays if array is not None]
    if not known:
        return None
    total: Array = np.sum(known, axis=0, dtype=np.float32)
    return total / np.float32(len(arrays))


def _cut(array: Array | None, start: int, stop: int) -> Array | None:
    return None if array is None else array[start:stop]


def _tensors(arrays: Gradient) -> list[torch.Tensor | None]:
    return [None if array is None else torch.tensor(array) for array in arrays]


def _arrays(tensors: Sequence[torch.Tensor | None]) -> Any:
    return [None if tensor is None else tensor.numpy() for tensor in tensors]
