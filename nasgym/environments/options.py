"""The options of the registered environments: one dataclass for each family of problems.

`gym.make`, `--set`, `search.json`, help texts and error messages all take names, types and defaults
from here. The space of a problem is known without its data.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, ClassVar, Self

from nasgym import tables
from nasgym.environments.env import NASEnv
from nasgym.environments.vector import NASVectorEnv
from nasgym.errors import InvalidInput
from nasgym.evaluation.evaluator import Evaluator
from nasgym.evaluation.rewards import (
    EXPONENT,
    PERPLEXITY_CONSTANT,
    REWARDS,
    CostWeightedReward,
    Reward,
    perplexity,
    reward_named,
)
from nasgym.options import check_options, types_of
from nasgym.spaces import PRESETS, ConvSpace, RecurrentSpace
from nasgym.spaces.base import SearchSpace
from nasgym.training.evaluator import TrainingEvaluator
from nasgym.training.image.evaluator import ImageEvaluator
from nasgym.training.text.evaluator import TextEvaluator


@dataclass(frozen=True, kw_only=True)
class ProblemOptions(ABC):
    """The options that all environments share; all values are plain data."""

    costs: ClassVar[tuple[str, ...]] = ()
    """Costs that the family can weigh and limit."""
    own_space: ClassVar[type[SearchSpace] | None] = None
    """The space whose fields are options too."""
    unknown_rewards: ClassVar[tuple[str, ...]] = ()
    """Rewards that the family cannot measure."""

    reward: str = "accuracy"
    """accuracy, accuracy_cubed, nll or perplexity."""
    cost: str | None = None
    """Weigh this cost in the reward: parameters, flops or latency. Needs target."""
    target: int | float | None = None
    """The cost that leaves the reward as it is."""
    exponent: float = EXPONENT
    """Exponent of cost / target above the target, 0 or less."""
    exponent_below: float | None = None
    """Exponent below the target; by default the same."""
    max_parameters: int | float | None = None
    """Do not train networks with more parameters; their reward is 0."""
    max_flops: int | float | None = None
    """Do not train networks with more operations a forward pass; their reward is 0."""
    archive: str | None = None
    """Path of the archive to record in; by default in memory."""
    run: str | None = None
    """Run of the archive to resume or begin."""
    render_mode: str | None = None
    """ansi or rgb_array."""
    workers: int | str | None = None
    """Children trained at the same time; 0: in this process; ray, auto or ray://HOST:PORT: on a
    cluster. By default one a core."""
    space_options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the space, given as options of their own."""

    @classmethod
    def types(cls) -> dict[str, Any]:
        """Return the types of all options by name."""
        own = {name: kind for name, kind in types_of(cls).items() if name != "space_options"}
        return own if cls.own_space is None else own | types_of(cls.own_space)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Return the options that a user gave by name.

        Raises InvalidInput, in one line, for an unknown name or a value of the wrong type.
        """
        checked = check_options(options, cls.types())
        own = {each.name for each in fields(cls)}
        space = {name: value for name, value in checked.items() if name not in own}
        rest = {name: value for name, value in checked.items() if name in own}
        return cls(**rest, space_options=space)

    def __post_init__(self) -> None:
        if self.reward in self.unknown_rewards:
            rewards = ", ".join(name for name in REWARDS if name not in self.unknown_rewards)
            raise InvalidInput(f"reward {self.reward!r} cannot be measured here: choose {rewards}")
        weights = {"target": self.target, "exponent_below": self.exponent_below}
        given = any(value is not None for value in weights.values()) or self.exponent != EXPONENT
        if (self.cost is None) != (self.target is None) or (given and self.cost is None):
            raise InvalidInput("a cost in the reward needs both cost=... and target=...")
        for name in (self.cost, *self.limits):
            if name is not None and name not in self.costs:
                known = ", ".join(self.costs) or "none"
                raise InvalidInput(f"{name!r} cannot be a cost or limit here; known costs: {known}")
        self.full_reward()

    @property
    def limits(self) -> dict[str, float]:
        """Return the upper limits by the name of the cost."""
        limits = {"parameters": self.max_parameters, "flops": self.max_flops}
        return {name: limit for name, limit in limits.items() if limit is not None}

    def full_reward(self) -> Reward:
        """Return the reward, weighted by the cost if there is one."""
        reward = self.plain_reward()
        if self.cost is None or self.target is None:
            return reward
        return CostWeightedReward(
            reward, self.cost, self.target, self.exponent, self.exponent_below
        )

    def plain_reward(self) -> Reward:
        """Return the reward without a cost."""
        return reward_named(self.reward)

    @abstractmethod
    def search_space(self) -> SearchSpace:
        """Return the space; no data are read."""

    @abstractmethod
    def evaluator(self) -> Evaluator:
        """Read the data and return the evaluator."""

    def env(self) -> NASEnv:
        """Return a single environment."""
        arguments = self._study_options()
        return NASEnv(self.search_space(), self.evaluator(), **arguments)

    def vector_env(self, num_envs: int) -> NASVectorEnv:
        """Return `num_envs` environments that step together."""
        arguments = self._study_options()
        return NASVectorEnv(self.search_space(), self.evaluator(), num_envs, **arguments)

    @property
    def growth(self) -> dict[str, Any]:
        """Return `grow_by` and `grow_every` of the ceiling, where it can grow."""
        return {}

    def _study_options(self) -> dict[str, Any]:
        return {
            **self.growth,
            "reward": self.full_reward(),
            "limits": self.limits,
            "archive": self.archive,
            "run": self.run,
            "render_mode": self.render_mode,
        }


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(ProblemOptions):
    """The options of environments that train children."""

    recipe: str = "short"
    """How children are trained: short or paper."""
    epochs: int | None = None
    """Epochs of a child; by default the recipe's."""
    train_size: int | None = None
    """Training images or tokens; by default all."""
    valid_size: int | None = None
    """Validation images or tokens; by default all."""
    seed: int = 0
    """Seed of the children: split of the data, weights, batches. The agent has its own seed."""
    device: str = "auto"
    """cpu, cuda or auto."""
    cpus: float = 1.0
    """Processors a child takes on a cluster."""
    gpus: float = 0.0
    """GPUs a child takes on a cluster, such as 0.25."""
    time_limit: int | float | None = None
    """Seconds a child may take; by default no limit."""
    memory_limit: int | float | None = None
    """GiB a child may take; by default no limit."""
    latency: bool = False
    """Measure the seconds of a forward pass of each child; on if it is the cost."""

    @abstractmethod
    def evaluator(self) -> TrainingEvaluator:
        """Read the data and return the evaluator, which starts no process yet."""

    def _training(self, *names: str) -> dict[str, Any]:
        """Return the arguments that evaluators share, and those in `names`."""
        shared = [each.name for each in fields(TrainingOptions) if each.name not in SHARED]
        chosen = {name: getattr(self, name) for name in (*shared, "workers", *names)}
        return chosen | {"latency": self.latency or self.cost == "latency"}


SHARED = frozenset(each.name for each in fields(ProblemOptions))


@dataclass(frozen=True, kw_only=True)
class ImageOptions(TrainingOptions):
    """Convolutional networks for images. The fields of `ConvSpace` are options too."""

    costs = ("parameters", "flops", "latency")
    own_space = ConvSpace
    unknown_rewards = ("perplexity",)

    data: str | None = None
    """digits, cifar10, an .npz file or a folder with one folder of images for each class."""
    image_size: int | None = None
    """Resize the images to a square of this many pixels."""
    space: str = "v1"
    """Name of the space to start from: v1, v2, v3, v3-40, layer-types, digits or digits-table."""
    grow_by: int = 0
    """Layers that the ceiling grows by; 0 keeps it."""
    grow_every: int = 1600
    """Children after which the ceiling grows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.space not in PRESETS:
            raise InvalidInput(f"space {self.space!r} is none of {', '.join(PRESETS)}")
        if self.data is None:
            raise InvalidInput("name your images: data='images.npz' or data='folder of classes'")

    def search_space(self) -> SearchSpace:
        """Return the space with the fields that were given; the depth limit follows `layers`."""
        preset, changes = PRESETS[self.space], dict(self.space_options)
        if "layers" in changes:
            changes.setdefault("max_layers", max(changes["layers"], preset.max_layers))
        return replace(preset, **changes)

    def evaluator(self) -> ImageEvaluator:
        """Read the images and return the evaluator."""
        assert self.data is not None
        return ImageEvaluator(self.data, **self._training("image_size"))

    @property
    def growth(self) -> dict[str, Any]:
        """Return `grow_by` and `grow_every` of the ceiling."""
        return {"grow_by": self.grow_by, "grow_every": self.grow_every}


@dataclass(frozen=True, kw_only=True)
class TextOptions(TrainingOptions):
    """Recurrent cells for text. The fields of `RecurrentSpace` are options too."""

    costs = ("parameters", "latency")
    own_space = RecurrentSpace

    reward: str = "perplexity"
    """perplexity (reward_constant / perplexity^2), nll, accuracy or accuracy_cubed."""
    reward_constant: float = PERPLEXITY_CONSTANT
    """The constant of the reward perplexity."""
    corpus: str = "documentation"
    """documentation (ships with Python), ptb, or the path of a text."""
    unit: str = "words"
    """words or characters."""
    vocabulary_size: int = 10_000
    """Words that are kept; all others become <unk>."""
    parameters: int | None = None
    """Size of each language model; by default the recipe's."""
    shared_embeddings: bool | None = None
    """Whether the softmax shares the weights of the embeddings; by default the recipe's."""

    def plain_reward(self) -> Reward:
        """Return the reward without a cost."""
        if self.reward != "perplexity":
            return super().plain_reward()
        if self.reward_constant <= 0:
            raise InvalidInput(f"reward_constant must be above 0, not {self.reward_constant}")
        return partial(perplexity, constant=self.reward_constant)

    def search_space(self) -> SearchSpace:
        """Return the space of cells."""
        return RecurrentSpace(**self.space_options)

    def evaluator(self) -> TextEvaluator:
        """Read the text and return the evaluator."""
        own = ("unit", "vocabulary_size", "parameters", "shared_embeddings")
        return TextEvaluator(self.corpus, **self._training(*own))


@dataclass(frozen=True, kw_only=True)
class TableOptions(ProblemOptions):
    """Networks that were all trained beforehand, looked up in a table."""

    costs = ("parameters", "flops", "latency")
    unknown_rewards = ("nll", "perplexity")

    table: str | None = None
    """nas-bench-201, nas-bench-macro, nas-bench-graph or digits."""
    dataset: str | None = None
    """NAS-Bench-201: cifar10 or cifar100."""
    epochs: int | None = None
    """NAS-Bench-201: 12 or 200 epochs behind the reward."""
    bench: str | None = None
    """NAS-Bench-Graph: its data set, such as cora."""
    noise: str | None = None
    """NAS-Bench-Macro and digits: mean or seed, the mean over the seeds or one of them."""
    seed: int | None = None
    """NAS-Bench-Macro and digits: draws the one seed of each network."""

    def search_space(self) -> SearchSpace:
        """Return the space of the table."""
        return tables.search_space(self.table or "", **self._table_options())

    def evaluator(self) -> Evaluator:
        """Read the table and return the evaluator."""
        table = tables.load(self.table or "", **self._table_options())
        for name in (self.cost, *self.limits):
            if name is not None and name not in table.metrics:
                known = ", ".join(table.metrics) or "none"
                raise InvalidInput(f"{name!r} cannot be a cost or limit here; known costs: {known}")
        return tables.TableEvaluator(table)

    def _table_options(self) -> dict[str, Any]:
        names = ("dataset", "epochs", "bench", "noise", "seed")
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value is not None}
