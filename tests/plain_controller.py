"""A plain reference of the controller: decision by decision, one string at a time."""

from collections.abc import Callable

import torch
from torch import Tensor

from nasgym.agents.controller.controller import Controller
from nasgym.spaces.base import Decision, SearchSpace, Tokens

Choose = Callable[[int, Tensor], int]


def reference(
    controller: Controller, space: SearchSpace, choose: Choose
) -> tuple[Tokens, Tensor, Tensor]:
    """Generate a string decision by decision.

    `choose(place, p)` returns the token, given the probabilities of all tokens. Returns the
    string, its log-probability and the sum of the entropies of its decisions.
    """
    words = controller.vocabulary
    weights = dict(controller.named_parameters())
    table = weights["embedding"]
    hidden = table.shape[1]
    state = [(table.new_zeros(hidden), table.new_zeros(hidden))] * controller.lstm.num_layers
    tokens: list[int] = []
    probabilities: list[Tensor] = []
    entropies: list[Tensor] = []
    anchors: dict[int, Tensor] = {}

    def lstm(x: Tensor) -> Tensor:
        for layer, (h, c) in enumerate(state):
            gates = weights[f"lstm.weight_ih_l{layer}"] @ x + weights[f"lstm.bias_ih_l{layer}"]
            gates = gates + weights[f"lstm.weight_hh_l{layer}"] @ h
            i, f, g, o = (gates + weights[f"lstm.bias_hh_l{layer}"]).chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            x = o.sigmoid() * c.tanh()
            state[layer] = (x, c)
        return x

    def decide(p: Tensor) -> int:
        token = choose(len(tokens), p)
        tokens.append(token)
        probabilities.append(p[token])
        entropies.append(torch.special.entr(p).sum())
        return token

    decision: Decision | None = space.first()
    x = table[words.start]
    while decision is not None:
        h = lstm(x)
        if decision.source is None:
            options = list(words.options(decision))
            logits = weights["head_weight"][options] @ h + weights["head_bias"][options]
            token = decide(logits.softmax(0))
            x, after = table[options[token]], space.following(decision, token)
            if after is None or after.layer != decision.layer:
                anchors.setdefault(decision.layer, h)
        else:
            total, count = torch.zeros_like(h), 0
            while True:
                assert decision.source is not None
                embedded = table[words.sources[decision.source]]
                previous = anchors.get(decision.source, embedded)
                score = weights["attention_vector"] @ torch.tanh(
                    weights["attention_previous"] @ previous + weights["attention_current"] @ h
                )
                bit = decide(torch.stack([1 - score.sigmoid(), score.sigmoid()]))
                total, count = total + bit * embedded, count + bit
                one, other = space.following(decision, 0), space.following(decision, 1)
                after = other if bit else one
                same = one == other and after is not None and after.layer == decision.layer
                if not same or after is None or after.source is None:
                    break
                decision = after
            anchors[decision.layer] = h
            x = total / (1 + count)
        decision = after
    return tuple(tokens), torch.stack(probabilities).log().sum(), torch.stack(entropies).sum()


def spell(tokens: Tokens) -> Choose:
    return lambda place, _: tokens[place]
