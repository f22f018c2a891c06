"""The sampler: draws strings from a controller with numpy, many times faster than torch step by step.

For all strings together, a step of the LSTM takes two small matrix products and a dozen array calls,
without an allocation. One array holds all that is multiplied, and every product reads a slice
of it: biases are rows of the weights, and what was decided last is multiplied by differences of
embeddings already projected, instead of being looked up. tanh(x) = 2 sigmoid(2x) - 1, so that one
call serves all four gates. Choices are made by inverse CDF from uniforms drawn beforehand for each
string and each token, so they do not depend on which strings are drawn together.

Features run down and strings across: the gates are then contiguous.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasgym.agents.steps import Chart, Step
from nasgym.space import Tokens

if TYPE_CHECKING:
    from nasgym.agents.controller import Controller

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

ZERO, HALF, ONE = (np.array(value, np.float32) for value in (0.0, 0.5, 1.0))
LARGEST_LOGIT = np.array(80.0, np.float32)
"""The exponentials of a few of these still have a finite sum in single precision."""


class Choice(NamedTuple):
    """The weights that make one choice."""

    head: Floats
    """Softmax: (hidden + 1, options), from the hidden state to logits."""
    ladder: Floats
    """Softmax: (options - 1, 2 options), from the exponentials e and u e to u sum(e) - cumsum(e),
    which is not negative where the token is beyond."""
    told: Floats
    """(hidden + 1 + features, 4 hidden), the lowest layer's weights for the next step, whose features
    are the steps of the ladder that were climbed, or the sources that were connected."""


class Sampler:
    """A controller's weights as they were when it was made, laid out for drawing strings."""

    def __init__(self, controller: "Controller", chart: Chart) -> None:
        """Take the weights of `controller`, for strings of the space of `chart`."""
        lstm = controller.lstm
        self.chart = chart
        self.hidden, self.layers = lstm.hidden_size, lstm.num_layers
        weights = {name: _array(value) for name, value in controller.named_parameters()}
        
    def sample(self, count: int, rng: np.random.Generator) -> list[Tokens]:
        """Draw `count` strings."""
