"""The language model around a recurrent cell: embedding, layers of the cell, decoder."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgym.networks.language_size import Cell
from nasgym.networks.recurrent import RecurrentNetwork

State = tuple[Tensor, Tensor]
"""The recurrent state after a text: h and c of all layers, (layers, n, hidden) each."""


class LanguageModel(nn.Module):
    """Predicts the next token at every position of a text (Zoph & Le 2017, section 4.2).

    Maps tokens (time, n), whole numbers below `vocabulary`, to the logits of the next tokens,
    (time, n, vocabulary). Dropout in training is variational (Gal 2015): each call draws one mask
    for all time steps. `dropout` applies to the input of every layer and to the output,
    `recurrent_dropout` to the recurrent connections, and `embedding_dropout` drops whole words.
    Masks and initial weights come from torch's default generator.
    """

    def __init__(
        self,
        architecture: Cell,
        vocabulary: int,
        hidden: int,
        *,
        layers: int = 2,
        dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        shared_embeddings: bool = False,
        init: float = 0.05,
        embedding_init: float | None = None,
    ) -> None:
        """Build the model, with weights uniform in [-init, init] and biases 0.

        `embedding_init` replaces `init` for the embedding. With `shared_embeddings` the decoder
        uses the weights of the embedding, and `embedding_init` has no effect.
        """
        super().__init__()
        self.dropout, self.embedding_dropout = dropout, embedding_dropout
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.recurrent = RecurrentNetwork(
            architecture,
            hidden,
            hidden,
            layers,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
        )
        self.decoder = nn.Linear(hidden, vocabulary)
        if shared_embeddings:
            self.decoder.weight = self.embedding.weight
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.uniform_(parameter, -init, init)
            else:
                nn.init.zeros_(parameter)
        if embedding_init is not None and not shared_embeddings:
            nn.init.uniform_(self.embedding.weight, -embedding_init, embedding_init)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the logits after each token, and the state after the last token."""
        embedded = F.embedding(tokens, self._words(self.embedding.weight))
        output, state = self.recurrent(embedded, state)
        if self.training and self.dropout:
            output = F.dropout(torch.ones_like(output[:1]), self.dropout) * output
        logits: Tensor = self.decoder(output)
        return logits, state

    def _words(self, weight: Tensor) -> Tensor:
        """Return the embedding, in training with some words dropped."""
        if not (self.training and self.embedding_dropout):
            return weight
        return F.dropout(torch.ones_like(weight[:, :1]), self.embedding_dropout) * weight
