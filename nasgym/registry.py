"""The registered environments: ids, and the factories that make them from plain data."""

import difflib
import inspect
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import gymnasium as gym

from nasgym.env import NASEnv
from nasgym.spaces import PRESETS, ConvSpace
from nasgym.training.children import ChildTraining
from nasgym.vector import NASVectorEnv

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "NAS-Digits-v0": {"data": "digits", "space": "digits"},
    "NAS-CIFAR10-v0": {"data": "cifar10", "space": "v1", "grow_by": 2, "grow_every": 1600},
    "NAS-Images-v0": {"space": "v1", "grow_by": 2, "grow_every": 1600},
}
"""Ids and the options that set them apart; see `image_env` for all options."""

SPACE_OPTIONS = tuple(field.name for field in fields(ConvSpace))
TRAINING_OPTIONS = tuple(inspect.signature(ChildTraining).parameters)
ENV_OPTIONS = ("reward", "archive", "grow_by", "grow_every", "render_mode")
OPTIONS = ("space", *SPACE_OPTIONS, *TRAINING_OPTIONS, *ENV_OPTIONS)


def register() -> None:
    """Make the ids known to Gymnasium."""
    for name, options in ENVIRONMENTS.items():
        gym.register(
            name,
            entry_point="nasgym.registry:image_env",
            vector_entry_point="nasgym.registry:image_vector_env",
            kwargs=options,
        )


def image_env(**options: Any) -> NASEnv:
    """Make a single environment that searches networks for images.

    Every option is plain data (strings, numbers, lists):

    * `data`: "digits", "cifar10", or a path to an `.npz` or a folder of class folders; `space`: a
      preset ("v1", "v2", "digits"), and any field of `ConvSpace` to change it (`layers`, ...);
    * `recipe`, `epochs`, `train_size`, `valid_size`, `image_size`, `seed`, `device`, `workers`,
      `time_limit`, `memory_limit`: see `ChildTraining`;
    * `reward`, `archive`, `grow_by`, `grow_every`, `render_mode`: see `NASEnv`.

    Raises ValueError for an option there is not or a value it cannot have, and FileNotFoundError
    for missing data, in one line.
    """
    with _wrong_kinds_named(options):
        return NASEnv(*_parts(options), **_chosen(options, ENV_OPTIONS))


def image_vector_env(num_envs: int = 1, **options: Any) -> NASVectorEnv:
    """Make `num_envs` environments that step together; see `image_env` for the options."""
    with _wrong_kinds_named(options):
        return NASVectorEnv(*_parts(options), num_envs, **_chosen(options, ENV_OPTIONS))


def _parts(options: dict[str, Any]) -> tuple[ConvSpace, ChildTraining]:
    for name in options:
        if name not in OPTIONS:
            raise ValueError(f"there is no option {name!r}{did_you_mean(name, OPTIONS)}")
    preset = options.get("space", "v1")
    if preset not in PRESETS:
        raise ValueError(f"space {preset!r} is none of {', '.join(PRESETS)}")
    if "data" not in options:
        raise ValueError("say which images: data='images.npz' or data='a folder of class folders'")
    chosen = _chosen(options, SPACE_OPTIONS)
    if "layers" in chosen:  # asked for more layers than the preset goes to: so be it
        deepest = max(chosen["layers"], PRESETS[preset].max_layers)
        chosen.setdefault("max_layers", deepest)
    space = replace(PRESETS[preset], **chosen)
    return space, ChildTraining(**_chosen(options, TRAINING_OPTIONS))


@contextmanager
def _wrong_kinds_named(options: dict[str, Any]) -> Iterator[None]:
    """Turn the TypeError of a word where a number belongs into the user's one line."""
    try:
        yield
    except TypeError as error:
        given = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise ValueError(f"an option has a value of the wrong kind ({error}): {given}") from None


def _chosen(options: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in names}


def did_you_mean(name: str, names: Collection[str]) -> str:
    """Return "; did you mean ...?" if one of `names` is close to `name`, else a list of them."""
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(names)}"
