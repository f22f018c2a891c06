"""The controller: the LSTM that generates architectures (Zoph & Le 2017, sections 3.1 and 3.3).

It works on any search space. One pass of the LSTM over finished strings gives their exact
log-probabilities, because all inputs follow from the tokens. After a softmax the input is the
embedding of its token; after an anchor it is the sum of the embeddings of the chosen sources,
divided by one more than their number. (The paper does not say what follows an anchor.)
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasgym.agents.controller.decoding_steps import StepGraph, Vocabulary
from nasgym.agents.controller.fused_weights import FusedWeights
from nasgym.agents.controller.layout import Batch, Layout
from nasgym.agents.controller.sampler import draw
from nasgym.spaces.base import SearchSpace, Tokens, deepest

INITIAL = 0.08
"""All parameters are drawn uniformly from [-INITIAL, INITIAL] (section 4.1)."""


class Controller(nn.Module):
    """A distribution over the strings of a space, at every depth of the space.

    A stack of LSTM layers reads the decisions made so far. A softmax chooses a token; its weights,
    like the embeddings, are shared by all decisions of one name. Set-selection attention chooses
    connections: P(layer j is an input of layer i) = sigmoid(v . tanh(W_prev h_j + W_curr h_i)),
    where h is the hidden state of the top LSTM layer at a layer's anchor.
    """

    def __init__(
        self, space: SearchSpace, *, hidden: int = 35, layers: int = 2, seed: int = 0
    ) -> None:
        """Create the controller of `space` with weights drawn by `seed`.

        `hidden` is the number of units of each of the `layers` LSTM layers; the defaults are the
        paper's.
        """
        super().__init__()
        longest = deepest(space)
        self.vocabulary = Vocabulary(longest)
        _keep_freed_memory()
        self._deepest = self._latest = StepGraph(longest, self.vocabulary)
        self._layout = Layout(self._deepest)
        # Created without values: drawing the default ones would advance torch's global generator.
        self.lstm = nn.LSTM(hidden, hidden, layers, device="meta").to_empty(device="cpu")
        self.embedding = nn.Parameter(torch.empty(self.vocabulary.size, hidden))
        self.head_weight = nn.Parameter(torch.empty(self.vocabulary.num_options, hidden))
        self.head_bias = nn.Parameter(torch.empty(self.vocabulary.num_options))
        self.attention_previous = nn.Parameter(torch.empty(hidden, hidden))
        self.attention_current = nn.Parameter(torch.empty(hidden, hidden))
        self.attention_vector = nn.Parameter(torch.empty(hidden))
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INITIAL, INITIAL, generator)

    def sample(
        self, count: int, rng: np.random.Generator, space: SearchSpace | None = None
    ) -> list[Tokens]:
        """Draw `count` strings of `space`, the controller's space at any depth.

        None: at its deepest.
        """
        weights = FusedWeights(dict(self.named_parameters()), self.vocabulary)
        return draw(weights, self._graph(space), count, rng)

    def log_prob(self, strings: Sequence[Tokens]) -> Tensor:
        """Return the log-probability of each string, (m,), differentiable.

        The strings of a shallower space are prefixes and have the same probability as there.
        Raises ValueError for one that is no prefix of a string.
        """
        return self.score(strings)[0]

    def score(self, strings: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
        """Return each string's log-probability and its decisions' mean entropy in nats, both (m,).

        Each entropy is that of the distribution from which the string's token was chosen.
        """
        batch = self._layout.batch(strings)
        # A copy, because PyTorch aligns it: results could otherwise differ in the last bit.
        inputs = torch.tensor(batch.inputs[:-1], dtype=self.embedding.dtype)
        hidden, _ = self.lstm(inputs @ self.embedding)
        log_prob, entropy = self._softmaxes(hidden, batch)
        if batch.connections.size:
            string = torch.from_numpy(batch.connections[0] % batch.strings)
            bit_log_prob, bit_entropy = self._sigmoids(hidden, batch)
            log_prob = log_prob.index_add(0, string, bit_log_prob)
            entropy = entropy.index_add(0, string, bit_entropy)
        return log_prob, entropy / torch.tensor([len(tokens) for tokens in strings])

    def _graph(self, space: SearchSpace | None) -> StepGraph:
        """Return the step graph of `space`; keep the latest, since a depth is used for long."""
        if space is None:
            return self._deepest
        if space.automaton is not self._latest.space.automaton:
            self._latest = StepGraph(space, self.vocabulary)
        return self._latest

    def _softmaxes(self, hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return log-probability and entropy of the softmax decisions, summed over each string."""
        all_logits = F.linear(hidden, self.head_weight, self.head_bias)
        logits = all_logits.gather(2, torch.from_numpy(batch.options))
        log_probs = (logits + torch.from_numpy(batch.closed)).log_softmax(2)
        chosen = log_probs.gather(2, torch.from_numpy(batch.chosen)[..., None])[..., 0]
        entropy = -(log_probs.exp() * log_probs).sum(2)
        is_softmax = torch.from_numpy(batch.is_softmax)
        return (chosen * is_softmax).sum(0), (entropy * is_softmax).sum(0)

    def _sigmoids(self, hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return log-probability and entropy of each connection."""
        queries, keys, bits = torch.from_numpy(batch.connections)
        states = hidden.flatten(0, 1)
        previous = torch.cat([states, self.embedding]) @ self.attention_previous.T
        current = states @ self.attention_current.T
        # F.embedding, whose gradient is many times faster than that of indexing.
        together = F.embedding(keys, previous) + F.embedding(queries, current)
        logits = together.tanh() @ self.attention_vector
        log_yes, log_no = F.logsigmoid(logits), F.logsigmoid(-logits)
        entropy = -log_yes.exp() * log_yes - log_no.exp() * log_no
        return torch.where(bits > 0, log_yes, log_no), entropy


def _keep_freed_memory() -> None:
    """Make glibc reuse large freed blocks instead of returning them to the system.

    glibc raises its limit for reuse to the size of the largest block freed, up to 32 MiB; this
    frees one of that size without touching it. Otherwise every pass of the LSTM maps new pages: a
    gradient of 64 strings of 40 tokens then takes 11.7 ms instead of 5.7 (median).
    """
    torch.empty(2**23 - 2**13)
