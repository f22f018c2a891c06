"""The controller: the LSTM that writes architectures (Zoph & Le 2017, sections 3.1 and 3.3).

It works on any search space. One pass of the LSTM over finished strings gives their exact
log-probabilities, because all it is told is known from the tokens alone: the embedding of the last
token or, after an anchor, the embeddings of the sources chosen, summed and divided by one more than
their number. (The paper leaves open what follows an anchor.)
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasgym.agents.controller.decoding_steps import Chart, Vocabulary
from nasgym.agents.controller.fused_weights import Weights
from nasgym.agents.controller.layout import Batch, Traces
from nasgym.agents.controller.sampler import draw
from nasgym.spaces.base import SearchSpace, Tokens, deepest

INITIAL = 0.08
"""All parameters are drawn uniformly from [-INITIAL, INITIAL] (section 4.1)."""


class Controller(nn.Module):
    """A distribution over the strings of a space, at every depth the space can have.

    A stack of LSTM layers reads what was decided so far. A token is chosen by a softmax whose
    weights, like the embeddings, are shared by all decisions of one name. Connections are chosen by
    set-selection attention, P(layer j is an input of layer i) = sigmoid(v . tanh(W_prev h_j +
    W_curr h_i)), where h is the hidden state of the top layer at a layer's anchor.
    """

    def __init__(
        self, space: SearchSpace, *, hidden: int = 35, layers: int = 2, seed: int = 0
    ) -> None:
        """Build the controller of `space`: the paper's size by default, weights drawn by `seed`."""
        super().__init__()
        longest = deepest(space)
        self.vocabulary = Vocabulary(longest)
        _keep_memory()
        self._deepest = self._latest = Chart(longest, self.vocabulary)
        self._traces = Traces(self._deepest)
        # Made without values: to draw the usual ones would move PyTorch's global generator.
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
        """Draw `count` strings of the deepest space, or of `space`: the same at another depth."""
        weights = Weights(dict(self.named_parameters()), self.vocabulary)
        return draw(weights, self._chart(space), count, rng)

    def log_prob(self, strings: Sequence[Tokens]) -> Tensor:
        """Return the log-probability of each string, (m,), differentiable.

        The strings of a shallower space are beginnings here, and as probable as there. Raises
        ValueError for what no string begins with.
        """
        return self.score(strings)[0]

    def score(self, strings: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
        """Return each string's log-probability and the mean entropy of its decisions, (m,) both.

        The entropies, in nats, are those of the distributions met along the string.
        """
        batch = self._traces.batch(strings)
        # A copy, because PyTorch aligns it: results could otherwise differ in the last bit.
        told = torch.tensor(batch.told[:-1], dtype=self.embedding.dtype)
        hidden, _ = self.lstm(told @ self.embedding)
        log_prob, entropy = self._softmaxes(hidden, batch)
        if batch.connections.size:
            string = torch.from_numpy(batch.connections[0] % batch.strings)
            of_bits, uncertainty = self._sigmoids(hidden, batch)
            log_prob = log_prob.index_add(0, string, of_bits)
            entropy = entropy.index_add(0, string, uncertainty)
        return log_prob, entropy / torch.tensor([len(tokens) for tokens in strings])

    def _chart(self, space: SearchSpace | None) -> Chart:
        """Return the chart of `space`; searches go on in one space for long, so one is kept."""
        if space is None:
            return self._deepest
        if space.automaton is not self._latest.space.automaton:
            self._latest = Chart(space, self.vocabulary)
        return self._latest

    def _softmaxes(self, hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return log-probability and entropy of the softmax decisions, summed over each string."""
        all_logits = F.linear(hidden, self.head_weight, self.head_bias)
        logits = all_logits.gather(2, torch.from_numpy(batch.options))
        log_probs = (logits + torch.from_numpy(batch.closed)).log_softmax(2)
        chosen = log_probs.gather(2, torch.from_numpy(batch.chosen)[..., None])[..., 0]
        entropy = -(log_probs.exp() * log_probs).sum(2)
        decided = torch.from_numpy(batch.decided)
        return (chosen * decided).sum(0), (entropy * decided).sum(0)

    def _sigmoids(self, hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return log-probability and entropy of each connection."""
        queries, keys, bits = torch.from_numpy(batch.connections)
        states = hidden.flatten(0, 1)
        previous = torch.cat([states, self.embedding]) @ self.attention_previous.T
        current = states @ self.attention_current.T
        # F.embedding because its gradient is many times faster than that of indexing.
        together = F.embedding(keys, previous) + F.embedding(queries, current)
        logits = together.tanh() @ self.attention_vector
        log_yes, log_no = F.logsigmoid(logits), F.logsigmoid(-logits)
        entropy = -log_yes.exp() * log_yes - log_no.exp() * log_no
        return torch.where(bits > 0, log_yes, log_no), entropy


def _keep_memory() -> None:
    """Have the C library keep the memory that one pass of the LSTM leaves to the next.

    glibc gives large blocks back to the system, until one even larger was freed. Without that, 64
    strings of 40 tokens touch 2,000 new pages an update and take 23 ms instead of 17.
    """
    torch.empty(2**23 - 2**13)  # the largest block that counts: 32 MiB, untouched
