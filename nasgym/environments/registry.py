"""The registered environments: their ids, and the functions that Gymnasium calls to make them."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from nasgym.environments.env import NASEnv
from nasgym.environments.options import ImageOptions, ProblemOptions, TableOptions, TextOptions
from nasgym.environments.vector import NASVectorEnv
from nasgym.errors import InvalidInput
from nasgym.options import did_you_mean

ENVIRONMENTS: Mapping[str, dict[str, Any]] = {
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
"""The ids, and the options that distinguish them."""


def register() -> None:
    """Register the ids with Gymnasium."""
    for name, options in ENVIRONMENTS.items():
        family = "table" if "table" in options else "text" if "corpus" in options else "image"
        gym.register(
            name,
            entry_point=f"nasgym.environments.registry:{family}_env",
            vector_entry_point=f"nasgym.environments.registry:{family}_vector_env",
            kwargs=options,
        )


def problem(env: str, options: Mapping[str, Any]) -> ProblemOptions:
    """Return the options of the environment with id `env`; `options` replace its own.

    Nothing is loaded. Raises InvalidInput for an id that is not ours and for wrong options.
    """
    if env not in ENVIRONMENTS:
        raise InvalidInput(f"{env} is no environment of nasgym{did_you_mean(env, ENVIRONMENTS)}")
    own = ENVIRONMENTS[env]
    families: dict[str, type[ProblemOptions]] = {"table": TableOptions, "corpus": TextOptions}
    family = next((kind for name, kind in families.items() if name in own), ImageOptions)
    return family.of({**own, **options})


def image_env(**options: Any) -> NASEnv:
    """Make a single environment that searches networks for images; see `ImageOptions`.

    Raises InvalidInput for wrong options and FileNotFoundError for missing data, in one line.
    """
    return ImageOptions.of(options).env()


def image_vector_env(num_envs: int = 1, **options: Any) -> NASVectorEnv:
    """Make `num_envs` environments that step together; see `image_env`."""
    return ImageOptions.of(options).vector_env(num_envs)


def text_env(**options: Any) -> NASEnv:
    """Make a single environment that searches recurrent cells for text; see `TextOptions`.

    Errors as for `image_env`.
    """
    return TextOptions.of(options).env()


def text_vector_env(num_envs: int = 1, **options: Any) -> NASVectorEnv:
    """Make `num_envs` environments that step together; see `text_env`."""
    return TextOptions.of(options).vector_env(num_envs)


def table_env(**options: Any) -> NASEnv:
    """Make a single environment over a table of trained networks; see `TableOptions`.

    Errors as for `image_env`.
    """
    return TableOptions.of(options).env()


def table_vector_env(num_envs: int = 1, **options: Any) -> NASVectorEnv:
    """Make `num_envs` environments that step together; see `table_env`."""
    return TableOptions.of(options).vector_env(num_envs)
