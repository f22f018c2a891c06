"""Towers of four blocks: the accuracy of every tower is known; noise is optional."""

import gymnasium as gym
import numpy as np

from nasgym import Decision, NASVectorEnv, SearchSpace
from nasgym.tables import Table, TableEvaluator


class Towers(SearchSpace):
    def first(self):
        return Decision("block", ("brick", "glass", "straw"), layer=1)

    def following(self, decision, token):
        last = decision.layer == 4
        return None if last else Decision("block", decision.options, decision.layer + 1)

    def decode(self, tokens):
        return [decision.options[token] for decision, token in self.walk(tokens)]

    def choice(self, architecture, decision):
        return architecture[decision.layer - 1]


def make(num_envs=1, noise=0.0, seed=0, **options):
    space, rng = Towers(), np.random.default_rng(seed)
    clean = np.linspace(0.1, 0.9, space.size)
    reward = np.clip(clean + noise * rng.normal(size=space.size), 0, 1)
    seconds = np.full(space.size, 60.0)
    table = Table("towers", space, reward, clean, test=clean, seconds=seconds, chance=0.1)
    return NASVectorEnv(space, TableEvaluator(table), num_envs, **options)


gym.register("Towers-v0", vector_entry_point=make)
