"""The registered environments: ids, and the factories that make them from plain data."""

import inspect
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from typing import Any

import gymnasium as gym

from nasgym import tables
from nasgym.environments.env import NASEnv
from nasgym.environments.vector import NASVectorEnv
from nasgym.evaluation.evaluator import Evaluator
from nasgym.evaluation.rewards import COSTS, PERPLEXITY_CONSTANT, Weighed, perplexity, reward_named
from nasgym.options import did_you_mean
from nasgym.spaces import PRESETS, ConvSpace, RecurrentSpace
from nasgym.spaces.base import SearchSpace
from nasgym.training.image.evaluator import ImageChildren
from nasgym.training.text.evaluator import TextChildren

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "NAS-Digits-v0": {"data": "digits", "space": "digits"},
    "NAS-CIFAR10-v0": {"data": "cifar10", "space": "v1", "grow_by": 2, "grow_every": 1600},
    "NAS-Images-v0": {"space": "v1", "grow_by": 2, "grow_every": 1600},
    "NAS-PTB-v0": {"corpus": "ptb"},
    "NAS-Text-v0": {"corpus": "documentation"},
    "NAS-Bench-201-v0": {"table": "nas-bench-201"},
    "NAS-Bench-Macro-v0": {"table": "nas-bench-macro"},
    "NAS-Bench-Graph-v0": {"table": "nas-bench-graph"},
    "NAS-Digits-Table-v0": {"table": "digits"},
}
"""Ids and the options that set them apart; see `image_env`, `text_env` and `table_env` for all."""

CONV_OPTIONS = tuple(field.name for field in fields(ConvSpace))
CELL_OPTIONS = tuple(field.name for field in fields(RecurrentSpace) if field.init)
IMAGE_TRAINING = tuple(inspect.signature(ImageChildren).parameters)
TEXT_TRAINING = tuple(inspect.signature(TextChildren).parameters)
ENV_OPTIONS = ("reward", "archive", "run", "grow_by", "grow_every", "render_mode")
COST_OPTIONS = tuple(field.name for field in fields(Weighed) if field.name != "reward")
LIMIT_OPTIONS = ("max_parameters", "max_flops")
CONSTRAINTS = (*COST_OPTIONS, *LIMIT_OPTIONS)
IMAGE_OPTIONS = ("space", *CONV_OPTIONS, *IMAGE_TRAINING, *ENV_OPTIONS, *CONSTRAINTS)
TEXT_OPTIONS = (
    *CELL_OPTIONS,
    *TEXT_TRAINING,
    *("reward", "reward_constant", "archive", "run", "render_mode"),
    *CONSTRAINTS,
)
TABLE_OPTIONS = (
    *dict.fromkeys(
        name for load in tables.TABLES.values() for name in inspect.signature(load).parameters
    ),
    *("workers", "reward", "archive", "run", "render_mode"),
    *CONSTRAINTS,
)

Parts = tuple[SearchSpace, Evaluator, dict[str, Any]]
"""A space, its evaluator, and the options of the environment itself."""


def register() -> None:
    """Make the ids known to Gymnasium."""
    for name, options in ENVIRONMENTS.items():
        kind = "table" if "table" in options else "text" if "corpus" in options else "image"
        gym.register(
            name,
            entry_point=f"nasgym.environments.registry:{kind}_env",
            vector_entry_point=f"nasgym.environments.registry:{kind}_vector_env",
            kwargs=options,
        )


def image_env(**options: Any) -> NASEnv:
    """Make a single environment that searches networks for images.

    Every option is plain data (strings, numbers, lists):

    * `data`: "digits", "cifar10", or a path to an `.npz` or a folder of class folders; `space`: a
      name in `PRESETS`, and any field of `ConvSpace` to change it (`layers`, ...);
    * `recipe`, `epochs`, `train_size`, `valid_size`, `image_size`, `seed`, `device`, `workers`,
      `cpus`, `gpus`, `time_limit`, `memory_limit`, `latency`: see `ImageChildren`;
    * `reward`, `archive`, `run`, `grow_by`, `grow_every`, `render_mode`: see `NASEnv`;
    * `cost`, "parameters", "flops" or "latency", which is measured then, with its `target`,
      `exponent` and `exponent_below`: weighed in any reward, see `nasgym.evaluation.constraints.Weighed`;
    * `max_parameters`, `max_flops`: a child with more is not trained and earns 0.

    Raises ValueError for an option there is not or a value it cannot have, and FileNotFoundError
    for missing data, in one line.
    """
    with _wrong_kinds_named(options):
        space, children, chosen = _image_parts(options)
        return NASEnv(space, children, **chosen)


def image_vector_env(num_envs: int = 1, **options: Any) -> NASVectorEnv:
    """Make `num_envs` environments that step together; see `image_env` for the options."""
    with _wrong_kinds_named(options):
        space, children, chosen = _image_parts(options)
        return NASVectorEnv(space, children, num_envs, **chosen)


def text_env(**options: Any) -> NASEnv:
    """Make a single environment that searches recurrent cells for text.

    Every option is plain data (strings, numbers, lists):

    * `corpus`: "documentation", "ptb", or the path of a text; `base`, `combinations`,
      `activations`: see `RecurrentSpace`;
    * `unit`, `vocabulary_size`, `recipe`, `epochs`, `parameters`, `shared_embeddings`,
      `train_size`, `valid_size`, `seed`, `device`, `workers`, `cpus`, `gpus`, `time_limit`,
      `memory_limit`, `latency`: see `TextChildren`;
    * `reward`, "perplexity" by default, which is `reward_constant` / perplexity^2; `archive`,
      `run`, `render_mode`: see `NASEnv`;
    * `cost`, "parameters" or "latency", and all of its, and `max_parameters`: see `image_env`.

    Errors as for `image_env`.
    """
    with _wrong_kinds_named(options):
        space, children, chosen = _text_parts(options)
        return NASEnv(space, children, **chosen)


def text_vector_env(num_envs: int = 1, **options: Any) -> NASVectorEnv:
    """Make `num_envs` environments that step together; see `text_env` for the options."""
    with _wrong_kinds_named(options):
        space, children, chosen = _text_parts(options)
        return NASVectorEnv(space, children, num_envs, **chosen)


def table_env(**options: Any) -> NASEnv:
    """Make a single environment over a table: networks that were all trained beforehand.

    Every option is plain data (strings, numbers):

    * `table`: a name in `nasgym.tables.TABLES`, and the options of its own: `dataset` and `epochs`
      for NAS-Bench-201, `bench` for NAS-Bench-Graph, `noise` and `seed` for the two others;
    * `reward`, "accuracy" or "accuracy_cubed", `archive`, `run`, `render_mode`: see `NASEnv`;
    * `cost` and all of its, `max_parameters`, `max_flops`: see `image_env`, if the table has them;
    * `workers`: accepted as by all environments; looking up takes none.

    Errors as for `image_env`.
    """
    with _wrong_kinds_named(options):
        space, lookup, chosen = _table_parts(options)
        return NASEnv(space, lookup, **chosen)


def table_vector_env(num_envs: int = 1, **options: Any) -> NASVectorEnv:
    """Make `num_envs` environments that step together; see `table_env` for the options."""
    with _wrong_kinds_named(options):
        space, lookup, chosen = _table_parts(options)
        return NASVectorEnv(space, lookup, num_envs, **chosen)


def _table_parts(options: Mapping[str, Any]) -> Parts:
    _check_names(options, ("table", *TABLE_OPTIONS))
    known = ("reward", "archive", "run", "render_mode")
    others = (*known, *CONSTRAINTS, "workers")
    own = {name: value for name, value in options.items() if name not in others}
    if options.get("reward", "accuracy") in ("nll", "perplexity"):
        raise ValueError(f"reward {options['reward']!r} is in no table; accuracies are")
    table = tables.load(own.pop("table", None), **own)
    chosen = _constrained(_chosen(options, known), options, tuple(table.metrics))
    return table.space, tables.TableEvaluator(table), chosen


def _image_parts(options: Mapping[str, Any]) -> Parts:
    _check_names(options, IMAGE_OPTIONS)
    preset = options.get("space", "v1")
    if preset not in PRESETS:
        raise ValueError(f"space {preset!r} is none of {', '.join(PRESETS)}")
    if "data" not in options:
        raise ValueError("say which images: data='images.npz' or data='a folder of class folders'")
    if options.get("reward") == "perplexity":
        raise ValueError("reward 'perplexity' is for text; images have accuracy, nll and others")
    chosen = _chosen(options, CONV_OPTIONS)
    if "layers" in chosen:  # asked for more layers than the preset goes to: so be it
        deepest = max(chosen["layers"], PRESETS[preset].max_layers)
        chosen.setdefault("max_layers", deepest)
    space = replace(PRESETS[preset], **chosen)
    timed = options.get("cost") == "latency"
    children = ImageChildren(**{"latency": timed, **_chosen(options, IMAGE_TRAINING)})
    return space, children, _constrained(_chosen(options, ENV_OPTIONS), options, COSTS)


def _text_parts(options: Mapping[str, Any]) -> Parts:
    _check_names(options, TEXT_OPTIONS)
    space = RecurrentSpace(**_chosen(options, CELL_OPTIONS))
    chosen = {"reward": "perplexity", **_chosen(options, ENV_OPTIONS)}
    constant = options.get("reward_constant", PERPLEXITY_CONSTANT)
    if chosen["reward"] == "perplexity":
        if constant <= 0:
            raise ValueError(f"reward_constant must be above 0, not {constant}")
        chosen["reward"] = partial(perplexity, constant=constant)
    timed = options.get("cost") == "latency"
    children = TextChildren(**{"latency": timed, **_chosen(options, TEXT_TRAINING)})
    return space, children, _constrained(chosen, options, ("parameters", "latency"))


def _constrained(
    chosen: dict[str, Any], options: Mapping[str, Any], known: Collection[str]
) -> dict[str, Any]:
    """Return `chosen` with the cost and the limits of `options`, all of them among those `known`.

    Raises ValueError, in one line, for others, and for half of a cost.
    """
    weights = _chosen(options, COST_OPTIONS)
    limits = {name.removeprefix("max_"): options[name] for name in LIMIT_OPTIONS if name in options}
    for name in (*_chosen(weights, ["cost"]).values(), *limits):
        if name not in known:
            costs = ", ".join(known) or "no costs"
            raise ValueError(f"{name!r} can be no cost or limit here: known are {costs}")
    if weights:
        if not {"cost", "target"} <= weights.keys():
            raise ValueError("a cost in the reward takes both, cost=... and target=...")
        chosen["reward"] = Weighed(reward_named(chosen.get("reward", "accuracy")), **weights)
    return {**chosen, "limits": limits}


def _check_names(options: Mapping[str, Any], known: Collection[str]) -> None:
    for name in options:
        if name not in known:
            raise ValueError(f"there is no option {name!r}{did_you_mean(name, known)}")


@contextmanager
def _wrong_kinds_named(options: Mapping[str, Any]) -> Iterator[None]:
    """Turn the TypeError of a word where a number belongs into the user's one line."""
    try:
        yield
    except TypeError as error:
        given = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise ValueError(f"an option has a value of the wrong kind ({error}): {given}") from None


def _chosen(options: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in names}
