"""An agent in one file: it changes one decision of the best string so far."""

import numpy as np


class Climber:
    """An agent needs `seed` and `search`; the environment counts, trains and records."""

    def __init__(self, seed=0, patience=20):
        self.rng = np.random.default_rng(seed)
        self.patience = patience

    def search(self, env, budget):
        task = env.unwrapped
        best, tries = None, 0
        while task.trials < budget:
            if best is None or tries > self.patience:
                tokens = task.space.sample(self.rng)
            else:
                tokens = task.space.mutate(best.tokens, self.rng)
            (trial,) = task.play([tokens])  # or env.step, one token a time
            tries += 1
            if best is None or trial.reward > best.reward:
                best, tries = trial, 0
