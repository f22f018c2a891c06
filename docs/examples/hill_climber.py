"""Hill climbing: change one decision of the best string so far."""

import numpy as np


class HillClimber:
    def __init__(self, seed=0, *, restart=0.1):
        self.rng, self.restart = np.random.default_rng(seed), restart

    def search(self, env, budget):
        env, best = env.unwrapped, None
        while env.trials < budget:
            anew = best is None or self.rng.random() < self.restart
            tokens = env.space.sample(self.rng) if anew else env.space.mutate(best.tokens, self.rng)
            (trial,) = env.play([tokens])
            if best is None or trial.reward > best.reward:
                best = trial
