"""NAS-Bench-201: 15,625 cells trained on CIFAR-10 and CIFAR-100 (Dong & Yang 2020).

The values are those of NATS-Bench's topology space (Dong et al. 2021): of one seed after 12 epochs,
and the mean over two or three seeds after 200.
"""

from nasgym.spaces.nas_bench import NASBench201Space
from nasgym.tables.columns import read_columns
from nasgym.tables.table import Table, TableError

FILE = "nas-bench-201.csv.gz"
CLASSES = {"cifar10": 10, "cifar100": 100}
EPOCHS = (12, 200)


def load_nas_bench_201(dataset: str = "cifar10", epochs: int = 200) -> Table:
    """Return the table; the reward is the validation accuracy after `epochs`, 12 or 200.

    The clean accuracy is always that after 200 epochs. The seconds are those of `epochs` epochs.
    """
    if dataset not in CLASSES:
        raise TableError(f"dataset must be {' or '.join(CLASSES)}, not {dataset!r}")
    if epochs not in EPOCHS:
        raise TableError(f"epochs must be 12 or 200, not {epochs!r}")
    space = NASBench201Space()
    reward, clean, test, seconds = (
        f"{dataset}_{name}"
        for name in (f"valid_{epochs}", "valid_200", "test_200", "epoch_seconds")
    )
    columns = read_columns(FILE, space, sorted({reward, clean, test, seconds, "params_millions"}))
    return Table(
        name=f"nas-bench-201 {dataset} {epochs} epochs",
        space=space,
        reward=columns[reward] / 100,
        clean=columns[clean] / 100,
        test=columns[test] / 100,
        seconds=columns[seconds] * epochs,
        chance=1 / CLASSES[dataset],
        metrics={"parameters": (columns["params_millions"] * 1e6).round().astype(int)},
    )
