"""The controller: the LSTM that writes architectures (Zoph & Le 2017, sections 3.1 and 3.3).

It works on any search space. One pass of the LSTM over finished strings gives their exact
log-probabilities, because what it is told at each step is known from the tokens alone: the embedding
of the last token or, after an anchor, the sum of the embeddings of the sources chosen, divided by
one more than their number. (The paper leaves open what follows an anchor.)
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasgym.agents.sampler import Sampler
from nasgym.agents.steps import Chart, Vocabulary
from nasgym.agents.traces import Batch, Traces
from nasgym.space import SearchSpace, Tokens

INITIAL = 0.08
"""All parameters are drawn uniformly from [-INITIAL, INITIAL] (section 4.1)."""


class Controller(nn.Module):
    """A distribution over the strings of a space, at every depth the space can have.

    A stack of LSTM layers reads what was decided so far. A softmax over the options of a decision,
    with weights shared by all decisions of one name, chooses the next token. Connections are chosen by
    set-selection attention: P(layer j is an input of layer i) = sigmoid(v . tanh(W_prev h_j + W_curr
    h_i)), h the hidden state of the top layer at the anchor.
    """

    def __init__(
        self, space: SearchSpace, *, hidden: int = 35, layers: int = 2, seed: int = 0
    ) -> None:
        """Build the controller for `space`; the size is the paper's, the weights are drawn by `seed`."""
        super().__init__()
        deepest = space if space.max_layers is None else space.with_layers(space.max_layers)
        self.vocabulary = Vocabulary(deepest)
        self._traces = Traces(Chart(deepest, self.vocabulary))
        self._chart = self._traces.chart
        # Made without values: to draw the usual ones would move PyTorch's global generator.
        self.lstm = nn.LSTM(hidden, hidden, layers, device="meta").to_empty(device="cpu")
        self.embedding = nn.Parameter(torch.empty(self.vocabulary.size, hidden))
        self.head_weight = nn.Parameter(torch.empty(self.vocabulary.num_options, hidden))
        self.head_bias = nn.Parameter(torch.empty(self.vocabulary.num_options))
        self.attention_previous = nn.Parameter(torch.empty(hidden, hidden))
        self.attention_current = nn.Parameter(torch.empty(hidden, hidden))
        self.attention_vector = nn.Parameter(torch.empty(hidden))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-INITIAL, INITIAL, generator=generator)

    def sample(
        self, count: int, rng: np.random.Generator, space: SearchSpace | None = None
    ) -> list[Tokens]:
        """Draw `count` strings, of `space` if it is given: the controller's at another depth."""
        if space is not None and space.automaton is not self._chart.space.automaton:
            self._chart = Chart(space, self.vocabulary)
        return Sampler(self, self._chart).sample(count, rng)

    def log_prob(self, strings: Sequence[Tokens]) -> Tensor:
        """Return the log-probability of each string, (m,), differentiable.

        The beginning of a string is given the probability that a string begins like that. Raises
        ValueError for a string that the space does not have at any depth.
        """
        return self.score(strings)[0]

    def score(self, strings: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
        """Return the log-probability of each string and the mean entropy of its decisions, (m,).

        The entropy is in nats and that of the choices as they were met along the string.
        """
        batch = self._traces.batch(strings)
        told = torch.tensor(batch.told, dtype=self.embedding.dtype)
        hidden, _ = self.lstm(told[:-1] @ self.embedding)
        log_prob, entropy = self._options(hidden, told[1:], torch.from_numpy(batch.closed))
        if len(batch.queries):
            strings_of = torch.from_numpy(batch.queries) % len(strings)
            connected, uncertain = self._connections(hidden, batch)
            log_prob = log_prob.index_add(0, strings_of, connected)
            entropy = entropy.index_add(0, strings_of, uncertain)
        return log_prob, entropy / torch.from_numpy(batch.lengths)

    def _options(self, hidden: Tensor, told_next: Tensor, closed: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probability and entropy of the softmax decisions, summed over each string."""
        logits = F.linear(hidden, self.head_weight, self.head_bias) + closed
        log_probs = logits.log_softmax(-1)
        chosen = told_next[..., : self.vocabulary.num_options]
        entropies = -(log_probs.exp() * log_probs).sum(-1) * chosen.sum(-1)
        return (log_probs * chosen).sum((0, 2)), entropies.sum(0)

    def _connections(self, hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return log-probability and entropy of each connection."""
        states = hidden.flatten(0, 1)
        keys = torch.cat([states, self.embedding]) @ self.attention_previous.T
        queries = states @ self.attention_current.T
        sums = F.embedding(torch.from_numpy(batch.keys), keys) + F.embedding(
            torch.from_numpy(batch.queries), queries
        )
        logits = sums.tanh() @ self.attention_vector
        log_probs = F.logsigmoid(logits * torch.from_numpy(batch.signs))
        log_yes = F.logsigmoid(logits)
        return log_probs, (1 - log_yes.exp()) * logits - log_yes
