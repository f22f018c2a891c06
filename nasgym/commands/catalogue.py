"""`nasgym envs` and `nasgym agents`: list environments, agents and their options."""

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Annotated, Any

import tyro
from docstring_parser import parse_from_object
from rich.markup import escape
from rich.table import Table

from nasgym.agents import load, make, registered
from nasgym.commands.console import OUT, say
from nasgym.environments.registry import ENVIRONMENTS, options_class
from nasgym.options import ANY_NAME, type_in_words, types_of
from nasgym.spaces import PRESETS

NOT_LISTED = ("seed", ANY_NAME)
"""Arguments of an agent that are no options of `--agent-set`."""


@dataclass(frozen=True)
class Option:
    """An option of an environment or an agent."""

    type: str
    """The type in words."""
    default: Any
    """The default as plain data."""
    help: str
    """The meaning."""


@dataclass(frozen=True)
class Envs:
    """List the environments, or the options of one."""

    env: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[ENV]")] = None
    """Environment whose options to list."""
    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """Print the list."""
        if self.env is not None:
            note = f"nasgym search {self.env} --set NAME=VALUE ..."
            _print_options(environment_options(self.env), note, as_json=self.json)
        elif self.json:
            print(json.dumps(ENVIRONMENTS))
        else:
            options = {
                name: " ".join(f"{key}={value}" for key, value in own.items())
                for name, own in ENVIRONMENTS.items()
            }
            _print_table(("environment", "its options"), options.items())
            say("\nall options of an environment: nasgym envs ENV")


@dataclass(frozen=True)
class Agents:
    """List the installed agents, or the options of one."""

    agent: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[AGENT]")] = None
    """Agent whose options to list: a name, or package.module:Class."""
    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """Print the list."""
        if self.agent is not None:
            kind = load(self.agent)
            documented = inspect.getattr_static(kind, "__init__") if inspect.isclass(kind) else kind
            note = inspect.getdoc(documented) or ""
            _print_options(agent_options(self.agent), note, as_json=self.json)
            return
        classes = {name: point.value for name, point in registered().items()}
        if self.json:
            print(json.dumps(classes))
        else:
            _print_table(("agent", "class"), classes.items())
            say("\nall options of an agent: nasgym agents AGENT")


def environment_options(env: str) -> dict[str, Option]:
    """Return the options of the environment with id `env` by name.

    Raises InvalidInput, in one line, for an unknown id.
    """
    family, own = options_class(env), ENVIRONMENTS[env]
    defaults = {each.name: each.default for each in fields(family)}
    if family.own_space is not None:
        space = PRESETS[own["space"]] if "space" in own else family.own_space()
        defaults |= vars(space)
    return _options(family.types(), defaults | own, _help(family.own_space) | _help(family))


def agent_options(name: str) -> dict[str, Option]:
    """Return the options of the agent called `name`, or of "package.module:Class", by name.

    Raises InvalidInput, in one line, for an unknown name.
    """
    kind = load(name)
    types = {option: type_ for option, type_ in types_of(kind).items() if option not in NOT_LISTED}
    parameters = inspect.signature(kind).parameters.values()
    # Options are documented in a dataclass of settings or by an algorithm of another library.
    settings, algorithm = getattr(make(name), "settings", None), getattr(kind, "algorithm", None)
    help_texts = _help(type(settings) if is_dataclass(settings) else algorithm)
    defaults = {each.name: each.default for each in parameters}
    if is_dataclass(settings) and "preset" not in types:
        defaults = vars(settings)
    return _options(types, defaults, help_texts)


def _options(
    types: Mapping[str, Any], defaults: Mapping[str, Any], help_texts: Mapping[str, str]
) -> dict[str, Option]:
    return {
        name: Option(type_in_words(kind), defaults.get(name), help_texts.get(name, ""))
        for name, kind in types.items()
    }


def _help(documented: type | None) -> dict[str, str]:
    """Return the documentation of a class's fields or constructor arguments by name."""
    bases = [] if documented is None else documented.__mro__[:-1]
    params = [each for base in reversed(bases) for each in parse_from_object(base).params]
    return {each.arg_name: " ".join((each.description or "").split()) for each in params}


def _print_options(options: Mapping[str, Option], note: str, *, as_json: bool) -> None:
    """Print the options, and below them the `note`."""
    if as_json:
        plain = {each: asdict(option) for each, option in options.items()}
        print(json.dumps(plain, default=str))
        return
    rows = [(each, one.type, _in_words(one.default), one.help) for each, one in options.items()]
    if rows:
        _print_table(("option", "type", "default", "meaning"), rows)
    else:
        say("no options")
    say(f"\n{note}")


def _in_words(default: Any) -> str:
    if default is None:
        return "none"
    return default if isinstance(default, str) else json.dumps(default, default=str)


def _print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(*headings, box=None)
    for row in rows:
        table.add_row(*map(escape, row))
    OUT.print(table)
