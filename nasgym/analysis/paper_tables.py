"""The tables of the paper, as printed, and results of this project beside them.

Tables 1 to 3 of Zoph & Le 2017 are in `paper_tables.json`. A result of this project always states
its share of the training data, its epochs and its hardware.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from math import isfinite, log2
from pathlib import Path
from typing import Any

from nasgym.errors import InvalidInput
from nasgym.files import read_json
from nasgym.networks import zoo
from nasgym.options import from_options
from nasgym.spaces.plain import plain


@dataclass(frozen=True)
class PublishedResult:
    """One row of a table of the paper."""

    model: str
    """Name of the model, with its authors or variant."""
    value: float
    """Test result in the measure of the table; lower is better."""
    parameters: int | None = None
    """Trainable parameters as printed, rounded; None if not printed."""
    depth: int | None = None
    """Number of layers; None if not printed."""
    estimated: bool = False
    """Whether the paper only estimates the parameters."""


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper."""

    title: str
    """Subject, and where it is in the paper."""
    measure: str
    """Name of the measure."""
    decimals: int
    """Decimals that the measure is printed with."""
    train_size: int
    """Number of images, or of tokens, in the training data."""
    rows: tuple[PublishedResult, ...]
    """Rows in the printed order."""

    @classmethod
    def from_plain(cls, rows: Sequence[Mapping[str, Any]], **head: Any) -> "PaperTable":
        """Return a table from its entry in `paper_tables.json`."""
        return cls(rows=tuple(PublishedResult(**row) for row in rows), **head)


TABLES: Mapping[str, PaperTable] = {
    name: PaperTable.from_plain(**table)
    for name, table in json.loads(
        files("nasgym.analysis").joinpath("paper_tables.json").read_text(encoding="utf-8")
    ).items()
}
"""The tables by name."""


@dataclass(frozen=True)
class OwnResult:
    """A network that this project trained and tested once, with the budget of the training.

    `measured.json` is a list of these as objects.
    """

    table: str
    """Name of the table to compare with."""
    model: str
    """Name of the model."""
    value: float
    """Test result in the measure of the table."""
    parameters: int
    """Trainable parameters."""
    share: float
    """Share of the training data used, in (0, 1]."""
    epochs: int
    """Number of training epochs."""
    hardware: str
    """Device it was trained on."""
    command: str
    """Command that repeats the training."""

    def __post_init__(self) -> None:
        if self.table not in TABLES:
            raise InvalidInput(f"table {self.table!r} is none of {', '.join(TABLES)}")
        for name in ("model", "hardware", "command"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise InvalidInput(f"{name} must be a non-empty text, not {getattr(self, name)!r}")
        for name in ("parameters", "epochs"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise InvalidInput(
                    f"{name} must be a whole number from 1, not {getattr(self, name)}"
                )
        for name in ("value", "share"):
            number = getattr(self, name)
            if type(number) not in (int, float) or not (isfinite(number) and number > 0):
                raise InvalidInput(f"{name} must be a number above 0, not {number!r}")
        if self.share > 1:
            raise InvalidInput(f"share must be at most 1, not {self.share}")

    @property
    def budget(self) -> str:
        """Return the share of the data, the epochs and the hardware in words."""
        epochs = f"{self.epochs} epoch{'s' * (self.epochs > 1)}"
        return f"{100 * self.share:.3g} % of the training data, {epochs}, {self.hardware}"


def shipped_results() -> list[OwnResult]:
    """Return the results that come with this release, in `measured.json`."""
    name = files("nasgym") / "measured.json"
    return parse_results(name.read_text(encoding="utf-8"), str(name))


def parse_results(text: str, source: str) -> list[OwnResult]:
    """Return the results in `text`, JSON; raises ValueError that names `source` and the fault."""
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{source} is not JSON: {error}") from None
    found = []
    for number, row in enumerate(rows, start=1):
        try:
            found.append(from_options(OwnResult, row))
        except ValueError as error:
            raise InvalidInput(f"{source}, row {number}: {error}") from None
    return found


def trained_result(folder: Path) -> OwnResult:
    """Return the result of `nasgym train` in `folder`.

    Raises FileNotFoundError if the training is not finished, and ValueError if no table is about
    its data or its files are damaged.
    """
    path = folder / "test.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no test.json: it is no finished `nasgym train`")
    try:
        done = read_json(path)
        table = _table_of(done["options"])
        size = done["options"].get("train_size") or TABLES[table].train_size
        return OwnResult(
            table,
            f"{_name_of(done['architecture'])}, {folder}",
            _value(table, done["test"]),
            done["parameters"],
            min(1.0, size / TABLES[table].train_size),
            done["recipe"]["epochs"],
            _hardware(done["machine"], done["threads"]),
            done["command"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} is damaged: {error!r}") from None
    except ValueError as error:
        raise InvalidInput(f"{path}: {error}") from None


def to_plain(name: str, rows: Sequence[OwnResult]) -> dict[str, Any]:
    """Return the table called `name`, and those of `rows` that compare with it, JSON-able."""
    table = TABLES[name]
    return {
        "table": name,
        "title": table.title,
        "measure": table.measure,
        "published": [asdict(row) for row in table.rows],
        "trained_here": [asdict(row) for row in rows if row.table == name],
    }


def _table_of(options: Mapping[str, Any]) -> str:
    """Return the name of the table about the data that `options` name."""
    if options.get("data") == "cifar10" and options.get("image_size") in (None, 32):
        return "cifar10"
    if options.get("corpus") == "ptb" and options.get("unit") == "characters":
        return "ptb-characters"
    if options.get("corpus") == "ptb" and options.get("vocabulary_size") in (None, 10_000):
        return "ptb"
    chosen = ", ".join(f"{name}={value}" for name, value in options.items() if value is not None)
    raise InvalidInput(f"no table of the paper is about {chosen}")


def _value(table: str, test: Mapping[str, float]) -> float:
    if table == "cifar10":
        return 100 * (1 - test["accuracy"])
    return log2(test["perplexity"]) if table == "ptb-characters" else test["perplexity"]


def _name_of(architecture: Mapping[str, Any]) -> str:
    """Return the architecture's name in the zoo, else its kind."""
    named = (name for name, known in zoo.ARCHITECTURES.items() if plain(known) == architecture)
    return next(named, str(architecture["kind"]))


def _hardware(machine: Mapping[str, Any], threads: int) -> str:
    if machine["gpus"]:
        return str(machine["gpus"][0]).partition(",")[0]
    return f"{machine['processor']}, {threads} thread{'s' * (threads > 1)}"
