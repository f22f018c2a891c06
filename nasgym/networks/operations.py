"""The combinations and activations of recurrent cells, with their derivatives."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

aten = torch.ops.aten


class Activation(NamedTuple):
    """An activation and its derivative."""

    forward: Callable[[Tensor], Tensor]
    """Maps the input to the output."""
    backward: Callable[[Tensor, Tensor], Tensor]
    """Maps the gradient of the output, and the kept tensor, to the gradient of the input."""
    keeps_output: bool = True
    """Whether the derivative needs the output; otherwise it needs the input."""


class Combination(NamedTuple):
    """A combination of two tensors and its derivative."""

    forward: Callable[[Tensor, Tensor], Tensor]
    """Maps both inputs to the output."""
    backward: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    """Maps the gradient of the output, and both inputs, to the gradients of the inputs."""


def _maximum_backward(gradient: Tensor, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Give the gradient to the larger input; equal inputs share it, as in autograd."""
    share = torch.sign(one - other).add_(1).mul_(gradient).mul_(0.5)
    return share, gradient - share


ACTIVATIONS = {
    "identity": Activation(lambda x: x, lambda gradient, _: gradient),
    "tanh": Activation(torch.tanh, aten.tanh_backward.default),
    "sigmoid": Activation(torch.sigmoid, aten.sigmoid_backward.default),
    "relu": Activation(torch.relu, lambda g, y: aten.threshold_backward.default(g, y, 0)),
    "sin": Activation(torch.sin, lambda gradient, x: gradient * torch.cos(x), keeps_output=False),
}
"""Activations by the name that a Node has."""

IN_PLACE = {"tanh": torch.tanh_, "sigmoid": torch.sigmoid_, "relu": torch.relu_}
"""Activations that may overwrite their input, because their derivative needs only the output."""

COMBINATIONS = {
    "add": Combination(torch.add, lambda gradient, _, __: (gradient, gradient)),
    "elem_mult": Combination(torch.mul, lambda g, one, other: (g * other, g * one)),
    "max": Combination(torch.maximum, _maximum_backward),
}
"""Combinations by the name that a Node has."""
