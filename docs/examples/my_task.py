"""A task in one file: a grammar, what its strings are worth, and an id."""

import gymnasium as gym

from nasgym import Decision, Evaluation, NASEnv, NASVectorEnv, SearchSpace


class Pipeline(SearchSpace):
    """Four steps, each with one of three tools, and how often it is used."""

    def first(self):
        return Decision("tool", ("filter", "scale", "merge"), layer=1)

    def following(self, decision, token):
        if decision.name == "tool":
            return Decision("times", (1, 2, 3), decision.layer)
        return (
            Decision("tool", ("filter", "scale", "merge"), decision.layer + 1)
            if (decision.layer < 4)
            else None
        )

    def decode(self, tokens):
        return [decision.options[token] for decision, token in self.walk(tokens)]


class Worth:
    """An evaluator needs `evaluate`; yours would build and train something."""

    def evaluate(self, architectures):
        return [Evaluation(accuracy=self.worth(one) / 12) for one in architectures]

    def worth(self, steps):
        order = sum(one == wanted for one, wanted in zip(steps[::2], ("scale", "filter") * 2))
        return order + 8 / (1 + abs(sum(steps[1::2]) - 7))


def env(**options):
    return NASEnv(Pipeline(), Worth(), **options)


def vector_env(num_envs=1, **options):
    return NASVectorEnv(Pipeline(), Worth(), num_envs, **options)


gym.register("Pipeline-v0", entry_point=env, vector_entry_point=vector_env)
