"""Images: the splits, the sources, and one clear line for each fault."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nasgym import data
from nasgym.data import DatasetError, cifar10, image_files
from nasgym.data.cifar10 import (
    FOLDER,
    RECORD,
    TRAIN_FILES,
    Edition,
    download_cifar10,
    find_cifar10,
    load_cifar10,
    load_cifar10_test,
)
from nasgym.data.dataset import ImagePool, resize
from nasgym.data.digits import load_digits, load_digits_test, read_digits
from nasgym.data.download import data_folder
from nasgym.data.final import load_test
from tests.small_cifar10 import BATCHES, SMALL, batch, good_members, write_archive


def rows(pictures: NDArray[np.uint8]) -> set[bytes]:
    return {picture.tobytes() for picture in pictures}


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


def imported_by(code: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty data folder."""
    path = tmp_path / "data"
    path.mkdir()
    monkeypatch.setenv("NASGYM_DATA", str(path))
    return path


# Splits -----------------------------------------------------------------------------------------


def test_digits_are_split_into_500_and_1000_and_297() -> None:
    loaded = data.load("digits")
    assert loaded.train_images.shape == (500, 8, 8, 1)
    assert loaded.valid_images.shape == (1000, 8, 8, 1)
    assert load_test("digits")[0].shape == (297, 8, 8, 1)
    assert loaded.input_shape == (1, 8, 8)
    assert loaded.classes == 10


@pytest.mark.parametrize("sizes", [{}, {"train_size": 77}, {"train_size": 500, "valid_size": 31}])
def test_parts_never_overlap_and_the_test_set_is_the_same_for_every_seed(
    sizes: dict[str, int],
) -> None:
    tested = rows(load_test("digits")[0])
    trained, validated = set(), set()
    for seed in range(5):
        loaded = data.load("digits", seed=seed, **sizes)
        train, valid = rows(loaded.train_images), rows(loaded.valid_images)
        assert len(train) == sizes.get("train_size", 500)
        assert len(valid) == sizes.get("valid_size", 1000)
        assert not train & valid
        assert not (train | valid) & tested
        trained.add(frozenset(train))
        validated.add(frozenset(valid))
    assert len(trained) == len(validated) == 5


def test_smaller_sizes_take_the_first_of_each_part() -> None:
    whole, part = (
        data.load("digits", seed=3),
        data.load("digits", seed=3, train_size=90, valid_size=50),
    )
    assert (whole.train_images[:90] == part.train_images).all()
    assert (whole.valid_labels[:50] == part.valid_labels).all()


def test_every_part_has_the_class_shares_of_the_whole() -> None:
    loaded = data.load("digits", train_size=100, valid_size=200)
    whole = np.bincount(load_digits().labels) / 1500
    for labels in (loaded.train_labels, loaded.valid_labels, load_test("digits")[1]):
        assert np.abs(np.bincount(labels) - whole * len(labels)).max() <= 2


def test_a_given_validation_set_is_kept() -> None:
    pictures = np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1)
    pool = ImagePool(pictures, np.tile([0, 1], 30), ("a", "b"), valid=20, drawn=False)
    for seed in range(3):
        split = pool.split(seed)
        assert sorted(split.valid_images.ravel()) == list(range(40, 60))
        assert sorted(split.train_images.ravel()) == list(range(40))


def test_the_digest_says_what_is_in_the_parts() -> None:
    digests = [
        data.load("digits", **options).digest
        for options in ({}, {"seed": 1}, {"train_size": 499}, {"valid_size": 99}, {"image_size": 4})
    ]
    assert len(set(digests)) == 5
    assert data.load("digits").digest == digests[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train_size": 501}, "train_size must be from 2 to 500"),
        ({"train_size": 1}, "train_size"),
        ({"valid_size": 1001}, "valid_size must be from 2 to 1000"),
        ({"image_size": 0}, "image_size"),
        ({"image_size": -4}, "image_size"),
    ],
)
def test_impossible_sizes_are_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(DatasetError, match=words) as error:
        data.load("digits", **options)
    one_line(error)


def test_nothing_an_evaluator_uses_imports_the_test_images() -> None:
    modules = imported_by("import nasgym, nasgym.training.image.job, nasgym.training.evaluator")
    assert "nasgym.training.image.job" in modules
    assert "nasgym.data.final" not in modules


# Resizing ---------------------------------------------------------------------------------------


def test_halving_an_image_takes_the_mean_of_2x2_pixels() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (1100, 32, 32, 3), np.uint8)
    means = pictures.reshape(1100, 16, 2, 16, 2, 3).mean((2, 4))
    assert np.abs(resize(pictures, 16) - means).max() <= 0.5


@pytest.mark.parametrize("size", [1, 5, 8, 12, 16])
def test_resizing_keeps_the_mean_and_a_flat_image(size: int) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), np.uint8)
    resized = resize(pictures, size)
    assert resized.shape == (20, size, size, 1)
    assert np.allclose(resized.mean((1, 2)), pictures.mean((1, 2)), atol=0.5)
    assert (resize(np.full((1, 9, 7, 2), 77, np.uint8), size) == 77).all()


# Digits -----------------------------------------------------------------------------------------


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn import datasets

    pool, (tested, test_labels) = load_digits(), load_digits_test()
    ours = np.concatenate([pool.images, tested])
    expected = datasets.load_digits()
    assert rows(ours) == rows((expected.images * 15).astype(np.uint8))
    labels = np.concatenate([pool.labels, test_labels])
    assert (np.bincount(labels) == np.bincount(expected.target)).all()


def test_loading_digits_imports_neither_scikit_learn_nor_torch() -> None:
    assert not imported_by("from nasgym.data import load; load('digits')") & {"sklearn", "torch"}


def test_a_changed_digits_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "digits.csv"
    for text in ("0," * 64 + "1\n", "what?\n"):
        path.write_text(text)
        with pytest.raises(DatasetError) as error:
            read_digits(path)
        assert str(path) in one_line(error)


# CIFAR-10; how hostile archives are refused is in tests/faults/test_data.py ---------------------


def test_cifar10_is_read_from_its_archive_and_from_its_folder(folder: Path) -> None:
    edition = write_archive(folder, good_members())
    packed, tested = load_cifar10(edition), load_cifar10_test(edition)
    (folder / FOLDER).mkdir()
    for name, content in BATCHES.items():
        (folder / FOLDER / name).write_bytes(content)
    unpacked = load_cifar10(edition)
    assert (packed.images == unpacked.images).all()
    assert (packed.labels == np.tile(np.arange(SMALL) % 10, 5)).all()
    first = np.frombuffer(BATCHES["data_batch_1.bin"], np.uint8)[1:RECORD].reshape(3, 32, 32)
    assert (packed.images[0] == first.transpose(1, 2, 0)).all()
    split = packed.split(seed=0)
    assert (len(split.train_images), len(split.valid_images)) == (130, 20)
    assert not rows(tested[0]) & (rows(split.train_images) | rows(split.valid_images))


def test_the_official_edition_is_that_of_the_paper() -> None:
    assert cifar10.OFFICIAL.records * len(TRAIN_FILES) - cifar10.OFFICIAL.valid == 45_000
    assert cifar10.OFFICIAL.url == "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"


def test_missing_cifar10_names_the_file_and_the_command(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="`nasgym data cifar10`") as error:
        data.load("cifar10")
    assert str(folder / "cifar-10-binary.tar.gz") in one_line(error)


@pytest.mark.parametrize("name", TRAIN_FILES[:2])
def test_a_faulty_folder_is_refused(name: str, folder: Path) -> None:
    (folder / FOLDER).mkdir()
    for other, content in BATCHES.items():
        (folder / FOLDER / other).write_bytes(content)
    path = folder / FOLDER / name
    for content, words in ((batch(0)[:-1], "bytes"), (b"\xff" + batch(0)[1:], "label 255")):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=words) as error:
            load_cifar10(Edition(SMALL))
        assert name in one_line(error)
    path.unlink()
    with pytest.raises(DatasetError, match=f"lacks {name}"):
        load_cifar10(Edition(SMALL))


# Downloads --------------------------------------------------------------------------------------


@pytest.fixture
def origin(tmp_path: Path) -> Edition:
    """Make a small edition that can be downloaded from a file."""
    (tmp_path / "origin").mkdir()
    edition = write_archive(tmp_path / "origin", good_members())
    path = tmp_path / "origin" / "cifar-10-binary.tar.gz"
    return Edition(SMALL, 20, path.as_uri(), edition.checksum, edition.size)


def test_a_download_is_verified_and_then_there(folder: Path, origin: Edition) -> None:
    reports: list[tuple[int, int]] = []
    path = download_cifar10(lambda done, size: reports.append((done, size)), origin)
    assert path == folder / "cifar-10-binary.tar.gz"
    assert reports[-1] == (origin.size, origin.size)
    assert len(load_cifar10(origin).labels) == 5 * SMALL
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize("fault", ["checksum", "short", "long"])
def test_a_wrong_download_leaves_nothing(fault: str, folder: Path, origin: Edition) -> None:
    wrong = {
        "checksum": Edition(SMALL, 20, origin.url, "md5:" + "0" * 32, origin.size),
        "short": Edition(SMALL, 20, origin.url, origin.checksum, origin.size + 1),
        "long": Edition(SMALL, 20, origin.url, origin.checksum, origin.size - 1),
    }[fault]
    with pytest.raises(DatasetError, match="nothing was kept") as error:
        download_cifar10(edition=wrong)
    one_line(error)
    assert list(folder.iterdir()) == []


def test_a_connection_that_breaks_leaves_nothing(folder: Path, origin: Edition) -> None:
    class HalfTheFile(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(origin.size))
            self.end_headers()
            self.wfile.write(bytes(origin.size // 2))

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), HalfTheFile) as server:
        Thread(target=server.handle_request).start()
        url = f"http://127.0.0.1:{server.server_port}/cifar-10-binary.tar.gz"
        with pytest.raises((ConnectionError, DatasetError)) as error:
            download_cifar10(edition=replace(origin, url=url))
    one_line(error)
    assert list(folder.iterdir()) == []


def test_a_broken_download_says_where_to_put_the_file(folder: Path) -> None:
    edition = Edition(url="file:///nowhere/cifar-10-binary.tar.gz")
    with pytest.raises(ConnectionError, match="put it at") as error:
        download_cifar10(edition=edition)
    assert str(folder / "cifar-10-binary.tar.gz") in one_line(error)
    assert list(folder.iterdir()) == []


def test_a_download_replaces_a_damaged_file_and_leaves_a_good_one(
    folder: Path, origin: Edition
) -> None:
    path = folder / "cifar-10-binary.tar.gz"
    path.write_bytes(b"half a file")
    download_cifar10(edition=origin)
    inode = path.stat().st_ino
    download_cifar10(edition=origin)
    assert path.stat().st_ino == inode
    assert path.stat().st_size == origin.size


def test_an_unpacked_folder_needs_no_download(folder: Path) -> None:
    assert find_cifar10() is None
    (folder / FOLDER).mkdir()
    assert download_cifar10() == find_cifar10() == folder / FOLDER


def test_the_data_folder_is_the_users_choice_or_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASGYM_DATA", "/elsewhere")
    assert data_folder() == Path("/elsewhere")
    monkeypatch.delenv("NASGYM_DATA")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert data_folder() == Path("/cache/nasgym")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_folder() == Path.home() / ".cache" / "nasgym"


# Your own images --------------------------------------------------------------------------------


def pictures(count: int, channels: int = 3, size: int = 6, seed: int = 0) -> NDArray[np.uint8]:
    shape = (count, size, size, channels) if channels else (count, size, size)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def write_folder(path: Path, count: int = 12, sizes: tuple[int, ...] = (9, 7, 9)) -> None:
    for name in ("cat", "dog"):
        (path / name).mkdir(parents=True)
        for index, picture in enumerate(pictures(count, seed=len(name))):
            size = sizes[index % len(sizes)]
            Image.fromarray(picture).resize((size, 5)).save(path / name / f"{index}.png")


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels")])
def test_an_npz_file_is_split_into_tenths(names: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    whole = pictures(100, channels=0)
    arrays = {names[0]: whole, names[1]: np.repeat(["a", "b"], 50)}
    np.savez(path, **arrays)  # type: ignore[arg-type]
    tested = load_test(str(path))[0]
    for seed in (0, 1):
        loaded = data.load(str(path), seed=seed)
        assert loaded.train_images.shape == (80, 6, 6, 1)
        assert loaded.valid_images.shape == (10, 6, 6, 1)
        assert loaded.names == ("a", "b")
        parts = rows(loaded.train_images) | rows(loaded.valid_images)
        assert parts | rows(tested) == rows(whole)
        assert not parts & rows(tested)


def test_an_npz_file_in_parts_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    train, valid, test = pictures(40), pictures(10, seed=1), pictures(8, seed=2)
    np.savez(
        path,
        train_images=train,
        train_labels=np.tile([[3], [5]], (20, 1)),
        val_images=valid,
        val_labels=np.tile([[3], [5]], (5, 1)),
        test_images=test,
        test_labels=np.full((8, 1), 7),
    )
    loaded, (tested, labels) = data.load(str(path)), load_test(str(path))
    assert rows(loaded.train_images) == rows(train)
    assert rows(loaded.valid_images) == rows(valid)
    assert rows(tested) == rows(test)
    assert loaded.names == ("3", "5", "7")
    assert (labels == 2).all()


def test_a_folder_is_read_at_its_most_common_size(tmp_path: Path) -> None:
    write_folder(tmp_path / "own", count=20)
    loaded, (tested, _) = data.load(str(tmp_path / "own")), load_test(str(tmp_path / "own"))
    assert loaded.names == ("cat", "dog")
    assert loaded.train_images.shape == (32, 5, 9, 3)
    assert (len(loaded.valid_images), len(tested)) == (4, 4)
    assert data.load(str(tmp_path / "own"), image_size=4).input_shape == (3, 4, 4)
    assert load_test(str(tmp_path / "own"), image_size=4)[0].shape == (4, 4, 4, 3)


def test_a_folder_in_parts_keeps_them(tmp_path: Path) -> None:
    for part, count in (("train", 12), ("val", 3), ("test", 2)):
        write_folder(tmp_path / "own" / part, count)
    loaded, (tested, _) = data.load(str(tmp_path / "own")), load_test(str(tmp_path / "own"))
    assert (len(loaded.train_images), len(loaded.valid_images), len(tested)) == (24, 6, 4)
    assert (np.bincount(loaded.valid_labels) == 3).all()


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "dog").rename(tmp_path / "train")
    assert data.load(str(tmp_path)).names == ("cat", "train")


def test_grey_pictures_have_one_channel(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index, picture in enumerate(pictures(10, channels=0)):
            Image.fromarray(picture).save(tmp_path / name / f"{index}.PNG")
    assert data.load(str(tmp_path)).input_shape == (1, 6, 6)


LABELS = np.tile([0, 1], 20)
NPZ_FAULTS: dict[str, tuple[dict[str, NDArray[np.generic]], str]] = {
    "no labels": ({"x": pictures(40)}, "needs arrays x and y"),
    "floats": ({"x": pictures(40) / 255, "y": LABELS}, "must be uint8"),
    "channels first": ({"x": pictures(40).transpose(0, 3, 1, 2), "y": LABELS}, "1 to 4 channels"),
    "flat": ({"x": pictures(40).reshape(40, -1), "y": LABELS}, "must be \\(n, height, width"),
    "too few labels": ({"x": pictures(40), "y": LABELS[1:]}, "40 integers or strings"),
    "one-hot": ({"x": pictures(40), "y": np.eye(2)[LABELS]}, "integers or strings"),
    "float labels": ({"x": pictures(40), "y": LABELS / 2}, "integers or strings"),
    "pickles": ({"x": pictures(40), "y": np.array([None] * 40)}, "cannot be read"),
    "one class": ({"x": pictures(40), "y": LABELS * 0}, "two or more"),
    "few": ({"x": pictures(19), "y": LABELS[:19]}, "20 or more"),
    "other size": (
        {
            "x_train": pictures(40),
            "y_train": LABELS,
            "x_val": pictures(40, size=5),
            "y_val": LABELS,
        },
        "training images of \\(6, 6, 3\\) but validation images of \\(5, 5, 3\\)",
    ),
}


@pytest.mark.parametrize("fault", NPZ_FAULTS)
def test_a_faulty_npz_file_is_refused(fault: str, tmp_path: Path) -> None:
    arrays, words = NPZ_FAULTS[fault]
    np.savez(tmp_path / "own.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match=words) as error:
        data.load(str(tmp_path / "own.npz"))
    assert "own.npz" in one_line(error)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 half a zip"])
def test_a_file_that_is_no_npz_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(DatasetError, match="cannot be read") as error:
        data.load(str(tmp_path / "own.npz"))
    one_line(error)


def empty(path: Path) -> None:
    path.mkdir()


def no_images(path: Path) -> None:
    write_folder(path)
    (path / "emu").mkdir()
    (path / "emu" / "notes.txt").write_text("none yet")


def broken_image(path: Path) -> None:
    write_folder(path)
    (path / "cat" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")


def cut_image(path: Path) -> None:
    write_folder(path, sizes=(90,))
    for file in (path / "cat").iterdir():
        file.write_bytes(file.read_bytes()[:-40])


def one_class(path: Path) -> None:
    write_folder(path / "animals", count=30)
    for index, file in enumerate((path / "animals").rglob("*.png")):
        file.rename(path / "animals" / f"{index}.png")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (empty, "one folder for each class"),
        (no_images, "emu holds no images"),
        (broken_image, "0.png cannot be read as an image"),
        (cut_image, "cannot be read as an image"),
        (one_class, "two or more"),
    ],
)
def test_a_faulty_folder_of_images_is_refused(
    make: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    make(tmp_path / "own")
    with pytest.raises(DatasetError, match=words) as error:
        data.load(str(tmp_path / "own"))
    assert str(tmp_path / "own") in one_line(error)


def test_images_that_would_fill_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "own")
    monkeypatch.setattr(image_files, "MAX_BYTES", 24 * 9 * 5 * 3 - 1)
    with pytest.raises(DatasetError, match="smaller image_size") as error:
        data.load(str(tmp_path / "own"))
    one_line(error)


def test_images_that_are_not_there_are_missed() -> None:
    with pytest.raises(FileNotFoundError, match="'digits' and 'cifar10' are built in") as error:
        data.load("cifar-10")
    one_line(error)
