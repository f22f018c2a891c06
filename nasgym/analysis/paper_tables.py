"""The paper's results, as printed, and this project's own beside them, each with its budget.

Tables 1 to 3 of Zoph & Le 2017. A network that was trained here is never listed without saying on
how much of the data, for how long and on what.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from math import isfinite, log2
from pathlib import Path
from typing import Any

from nasgym.files import read_json
from nasgym.networks import zoo
from nasgym.spaces.plain import plain


@dataclass(frozen=True)
class Published:
    """One row of a table of the paper."""

    model: str
    """What was trained, and by whom."""
    value: float
    """What the test brought, in the measure of the table; the lower the better."""
    parameters: int | None = None
    """Trainable parameters as printed, rounded; None where the paper says nothing."""
    depth: int | None = None
    """Number of layers, where printed."""
    estimated: bool = False
    """Whether the paper only estimates the parameters."""


@dataclass(frozen=True)
class Measured:
    """A network that was trained and tested here, once, with all that decides what to make of it.

    `measured.json` is a list of these as objects.
    """

    table: str
    """Name of the table it is to be seen beside."""
    model: str
    """What was trained."""
    value: float
    """What the test brought, in the measure of the table."""
    parameters: int
    """Trainable parameters, counted."""
    share: float
    """The share of the training data that it was trained on, up to 1."""
    epochs: int
    """How often it has seen them."""
    hardware: str
    """What it was trained on."""
    command: str
    """What trains it again."""

    def __post_init__(self) -> None:
        if self.table not in TABLES:
            raise ValueError(f"table {self.table!r} is none of {', '.join(TABLES)}")
        for name in ("model", "hardware", "command"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise ValueError(f"{name} must be some words, not {getattr(self, name)!r}")
        for name in ("parameters", "epochs"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number from 1, not {getattr(self, name)}")
        for name in ("value", "share"):
            number = getattr(self, name)
            if type(number) not in (int, float) or not (isfinite(number) and number > 0):
                raise ValueError(f"{name} must be a number above 0, not {number!r}")
        if self.share > 1:
            raise ValueError(f"share must be at most 1, not {self.share}")

    @property
    def budget(self) -> str:
        """Return in words what it was trained with."""
        epochs = f"{self.epochs} epoch{'s' * (self.epochs > 1)}"
        return f"{100 * self.share:.3g} % of the training data, {epochs}, {self.hardware}"


@dataclass(frozen=True)
class Table:
    """A table of the paper."""

    title: str
    """What is compared, and where the paper has it."""
    measure: str
    """What the test is judged by."""
    decimals: int
    """Decimals it is printed with."""
    train_size: int
    """The images, or tokens, of its training data."""
    rows: tuple[Published, ...]
    """The rows as they are printed."""


CIFAR10 = Table(
    "CIFAR-10, ordinary augmentation (Zoph & Le 2017, table 1)",
    "test error, %",
    2,
    45_000,
    (
        Published("Network in Network", 8.81),
        Published("All-CNN", 7.25),
        Published("Deeply Supervised Net", 7.97),
        Published("Highway Network", 7.72),
        Published("Scalable Bayesian Optimization", 6.37),
        Published("FractalNet", 5.22, 38_600_000, 21),
        Published("FractalNet, dropout and drop-path", 4.60, 38_600_000, 21),
        Published("ResNet", 6.61, 1_700_000, 110),
        Published("ResNet, as Huang et al. report it", 6.41, 1_700_000, 110),
        Published("ResNet, stochastic depth", 5.23, 1_700_000, 110),
        Published("ResNet, stochastic depth", 4.91, 10_200_000, 1202),
        Published("Wide ResNet", 4.81, 11_000_000, 16),
        Published("Wide ResNet", 4.17, 36_500_000, 28),
        Published("ResNet, pre-activation", 5.46, 1_700_000, 164),
        Published("ResNet, pre-activation", 4.62, 10_200_000, 1001),
        Published("DenseNet (k = 12)", 5.24, 1_000_000, 40),
        Published("DenseNet (k = 12)", 4.10, 7_000_000, 100),
        Published("DenseNet (k = 24)", 3.74, 27_200_000, 100),
        Published("DenseNet-BC (k = 40)", 3.46, 25_600_000, 190),
        Published("NAS v1, no stride or pooling", 5.50, 4_200_000, 15),
        Published("NAS v2, predicted strides", 6.01, 2_500_000, 20),
        Published("NAS v3, max pooling", 4.47, 7_100_000, 39),
        Published("NAS v3, max pooling, more filters", 3.65, 37_400_000, 39),
    ),
)

PTB = Table(
    "Penn Treebank, words, single models (Zoph & Le 2017, table 2)",
    "test perplexity",
    1,
    929_589,
    (
        Published("Mikolov & Zweig 2012, KN-5", 141.2, 2_000_000, estimated=True),
        Published("Mikolov & Zweig 2012, KN-5 + cache", 125.7, 2_000_000, estimated=True),
        Published("Mikolov & Zweig 2012, RNN", 124.7, 6_000_000, estimated=True),
        Published("Mikolov & Zweig 2012, RNN-LDA", 113.7, 7_000_000, estimated=True),
        Published("Mikolov & Zweig 2012, RNN-LDA + KN-5 + cache", 92.0, 9_000_000, estimated=True),
        Published("Pascanu et al. 2013, deep RNN", 107.5, 6_000_000),
        Published("Cheng et al. 2014, sum-product net", 100.0, 5_000_000, estimated=True),
        Published("Zaremba et al. 2014, LSTM, medium", 82.7, 20_000_000),
        Published("Zaremba et al. 2014, LSTM, large", 78.4, 66_000_000),
        Published("Gal 2015, variational LSTM, medium, untied", 79.7, 20_000_000),
        Published("Gal 2015, variational LSTM, medium, untied, MC", 78.6, 20_000_000),
        Published("Gal 2015, variational LSTM, large, untied", 75.2, 66_000_000),
        Published("Gal 2015, variational LSTM, large, untied, MC", 73.4, 66_000_000),
        Published("Kim et al. 2015, CharCNN", 78.9, 19_000_000),
        Published("Press & Wolf 2016, variational LSTM, shared embeddings", 73.2, 51_000_000),
        Published("Merity et al. 2016, zoneout + variational LSTM, medium", 80.6, 20_000_000),
        Published("Merity et al. 2016, pointer sentinel LSTM, medium", 70.9, 21_000_000),
        Published("Inan et al. 2016, VD-LSTM + REAL, large", 68.5, 51_000_000),
        Published("Zilly et al. 2016, variational RHN, shared embeddings", 66.0, 24_000_000),
        Published("NAS, base 8", 67.9, 32_000_000),
        Published("NAS, base 8, shared embeddings", 64.0, 25_000_000),
        Published("NAS, base 8, shared embeddings", 62.4, 54_000_000),
    ),
)

PTB_CHARACTERS = Table(
    "Penn Treebank, characters (Zoph & Le 2017, table 3)",
    "test bits a character",
    3,
    5_017_482,
    (
        Published("Ha et al. 2016, layer norm HyperLSTM", 1.250, 4_920_000),
        Published("Ha et al. 2016, the same, large embeddings", 1.233, 5_060_000),
        Published("Ha et al. 2016, two-layer norm HyperLSTM", 1.219, 14_410_000),
        Published("two-layer LSTM", 1.243, 6_570_000),
        Published("two layers of the new cell", 1.228, 6_570_000),
        Published("two layers of the new cell", 1.214, 16_280_000),
    ),
)

TABLES: Mapping[str, Table] = {
    "cifar10": CIFAR10,
    "ptb": PTB,
    "ptb-characters": PTB_CHARACTERS,
}
"""The tables by name."""


def measured() -> list[Measured]:
    """Return what was trained for this release: the contents of `measured.json`."""
    name = files("nasgym") / "measured.json"
    return read(name.read_text(encoding="utf-8"), str(name))


def read(text: str, source: str) -> list[Measured]:
    """Return the rows in `text`, JSON; raises ValueError that names `source` and what is wrong."""
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{source} is no JSON: {error}") from None
    found = []
    for number, row in enumerate(rows, start=1):
        try:
            found.append(Measured(**row))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{source}, row {number}: {error}") from None
    return found


def trained(folder: Path) -> Measured:
    """Return what `nasgym train` measured in `folder`.

    Raises FileNotFoundError if it is not finished, and ValueError, in one line, if what it was
    trained on is in none of the tables.
    """
    path = folder / "test.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no test.json: it is no finished `nasgym train`")
    try:
        done = read_json(path)
        table = _table_of(done["options"])
        size = done["options"].get("train_size") or TABLES[table].train_size
        return Measured(
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
        raise ValueError(f"{path} is damaged: {error!r}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def to_plain(name: str, rows: Sequence[Measured]) -> dict[str, Any]:
    """Return the table called `name` and those of `rows` that belong beside it, JSON-able."""
    table = TABLES[name]
    return {
        "table": name,
        "title": table.title,
        "measure": table.measure,
        "published": [asdict(row) for row in table.rows],
        "trained_here": [asdict(row) for row in rows if row.table == name],
    }


def _table_of(options: Mapping[str, Any]) -> str:
    """Return the table for what was trained on the data that `options` name."""
    if options.get("data") == "cifar10" and options.get("image_size") in (None, 32):
        return "cifar10"
    if options.get("corpus") == "ptb" and options.get("unit") == "characters":
        return "ptb-characters"
    if options.get("corpus") == "ptb" and options.get("vocabulary_size") in (None, 10_000):
        return "ptb"
    chosen = ", ".join(f"{name}={value}" for name, value in options.items() if value is not None)
    raise ValueError(f"no table of the paper is about {chosen}")


def _value(table: str, test: Mapping[str, float]) -> float:
    if table == "cifar10":
        return 100 * (1 - test["accuracy"])
    return log2(test["perplexity"]) if table == "ptb-characters" else test["perplexity"]


def _name_of(architecture: Mapping[str, Any]) -> str:
    """Return its name in the zoo, else its kind."""
    named = (name for name, known in zoo.ARCHITECTURES.items() if plain(known) == architecture)
    return next(named, str(architecture["kind"]))


def _hardware(machine: Mapping[str, Any], threads: int) -> str:
    if machine["gpus"]:
        return str(machine["gpus"][0]).partition(",")[0]
    return f"{machine['processor']}, {threads} thread{'s' * (threads > 1)}"
