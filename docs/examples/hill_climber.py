"""Hill climbing: change one decision of the best string so far."""

import numpy as np


class HillClimber:
    def __init__(self, seed=0, *, restart=0.1):
        self.rng, self.restart = np.random.default_rng(seed), restart

    def search(self, env, budget):
        study, best = env.unwrapped.study, None
        while study.trials < budget:
            if best is None or self.rng.random() < self.restart:
                tokens = study.space.sample(self.rng)
            else:
                tokens = study.space.mutate(best.tokens, self.rng)
            (trial,) = study.play([tokens])
            if best is None or trial.reward > best.reward:
                best = trial
