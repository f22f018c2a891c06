"""Text: the parts, the tokens, and one clear line for each fault."""

import gzip
import hashlib
import io
import sys
import tarfile
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasgym.data import DatasetError, TextData, load_text
from nasgym.data.corpus import prose_words, split_text
from nasgym.data.final import load_test_text
from nasgym.data.ptb import FILES, UNPACKED, Edition, OriginalFile, download_ptb, find_ptb, load_ptb
from nasgym.data.text import encode, most_common


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


def prose(seed: int, lines: int = 400) -> str:
    """Return lines of ten words out of three hundred; words of low numbers are more common."""
    places = np.random.default_rng(seed).geometric(0.02, (lines, 10)) % 300
    return "".join(" ".join(f"word{place}" for place in line) + "\n" for line in places)


def decoded(data: TextData, part: str) -> list[str]:
    return [data.vocabulary[place] for place in getattr(data, part)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Make a text of 400 lines and 4,400 words."""
    path = tmp_path / "book.txt"
    path.write_text(prose(0))
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty data folder."""
    path = tmp_path / "data"
    path.mkdir()
    monkeypatch.setenv("NASGYM_DATA", str(path))
    return path


# Parts ------------------------------------------------------------------------------------------


@given(st.text("ab \n", max_size=400))
def test_the_parts_are_the_whole_text_in_its_order(text: str) -> None:
    corpus = split_text("text", text)
    assert corpus.train + corpus.valid + corpus.test == text


@pytest.mark.parametrize(("separator", "length"), [("\n", 400), ("\n", 9), (" ", 100_000)])
def test_parts_are_tenths_and_end_where_a_line_or_a_word_does(separator: str, length: int) -> None:
    words = [f"{number:0{length % 91}}" for number in range(5000)]
    text = separator.join(words)
    corpus = split_text("text", text)
    parts = (corpus.train, corpus.valid, corpus.test)
    assert [round(len(part) / len(text), 2) for part in parts] == [0.8, 0.1, 0.1]
    assert [word for part in parts for word in part.split()] == words
    assert corpus.train.endswith(separator)
    assert corpus.valid.endswith(separator)


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_the_test_text_follows_the_validation_text(file: Path, unit: str) -> None:
    data = load_text(str(file), unit=unit)
    tested = load_test_text(str(file), unit=unit)
    whole = split_text("book", prose(0))
    tokens = [*decoded(data, "train"), *decoded(data, "valid")]
    expected = whole.tokens(whole.train + whole.valid, unit)
    assert len(tokens) == len(expected)
    assert sum(a != b for a, b in zip(tokens, expected, strict=True)) < 5  # words seen once only
    assert len(tested) == len(whole.tokens(whole.test, unit))


def test_a_folder_is_read_as_the_parts_it_gives(tmp_path: Path) -> None:
    texts = {"train": prose(1), "valid": prose(2, 30), "test": prose(3, 20)}
    for part, text in texts.items():
        (tmp_path / f"{part}.txt").write_text(text)
    data = load_text(str(tmp_path), unit="characters")
    assert "".join(decoded(data, "train")) == texts["train"]
    assert "".join(decoded(data, "valid")) == texts["valid"]
    tested = load_test_text(str(tmp_path), unit="characters")
    assert "".join(data.vocabulary[place] for place in tested) == texts["test"]


def test_sizes_take_the_first_tokens_and_leave_the_vocabulary(file: Path) -> None:
    whole = load_text(str(file))
    part = load_text(str(file), train_size=1500, valid_size=120)
    assert part.vocabulary == whole.vocabulary
    assert (part.train == whole.train[:1500]).all()
    assert (part.valid == whole.valid[:120]).all()


def test_the_digest_says_what_is_in_the_data(file: Path) -> None:
    options = [
        {},
        {"unit": "characters"},
        {"vocabulary_size": 50},
        {"train_size": 1500},
        {"valid_size": 120},
    ]
    assert len({load_text(str(file), **chosen).digest for chosen in options}) == len(options)  # type: ignore[arg-type]
    assert load_text(str(file)).digest == load_text(str(file)).digest
    data = load_text(str(file))
    assert replace(data, unit="characters").digest != data.digest
    assert replace(data, vocabulary=data.vocabulary[::-1]).digest != data.digest


# Tokens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't panic!", ["don't", "panic", "!", "<eos>"]),
        ('"Wait..." -- twice.', ['"', "wait", "...", '"', "--", "twice", ".", "<eos>"]),
        ("one\n\n \ntwo\n", ["one", "<eos>", "two", "<eos>"]),
        ("Title\n" + "=" * 40, ["title", "<eos>", "===", "<eos>"]),
        ("a <unk> 3.5 naïve", ["a", "<unk>", "3", ".", "5", "naïve", "<eos>"]),
        ("", []),
    ],
)
def test_prose_is_divided_into_words_and_marks(text: str, words: list[str]) -> None:
    assert prose_words(text) == words


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "<unk>"]), min_size=1), st.integers(2, 6))
def test_the_vocabulary_holds_the_most_common_tokens(tokens: list[str], size: int) -> None:
    vocabulary = most_common(tokens, size)
    counts = Counter(token for token in tokens if token != "<unk>")
    assert vocabulary[0] == "<unk>"
    assert len(vocabulary) == min(size, 1 + len(counts))
    order = sorted(counts, key=lambda token: (-counts[token], tokens.index(token)))
    assert list(vocabulary[1:]) == order[: size - 1]
    known = [token if token in vocabulary else "<unk>" for token in tokens]
    assert [vocabulary[place] for place in encode(tokens, vocabulary)] == known


def test_the_vocabulary_is_that_of_the_training_text_alone(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}.txt").write_text(prose(0) + f"only-in-{part}\n")
    data = load_text(str(tmp_path))
    assert "train" in data.vocabulary
    assert not {"valid", "test"} & set(data.vocabulary)
    assert decoded(data, "valid")[-2:] == ["<unk>", "<eos>"]
    tested = load_test_text(str(tmp_path))
    assert tested[-2] == 0


# Documentation ----------------------------------------------------------------------------------


def test_the_documentation_is_here_and_no_part_repeats_another() -> None:
    data = load_text("documentation")
    assert len(data.train) > 50_000
    assert len(data.valid) > 5_000
    assert 2_000 < len(data.vocabulary) <= 10_000
    assert (data.valid == 0).mean() < 0.1
    characters = load_text("documentation", unit="characters")
    paragraphs = [
        set("".join(decoded(characters, part)).split("\n\n")) for part in ("train", "valid")
    ]
    assert not paragraphs[0] & paragraphs[1] - {""}
    assert load_text("documentation").digest == data.digest


def test_a_python_without_documentation_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(FileNotFoundError, match="corpus=FILE") as error:
        load_text("documentation")
    one_line(error)


# The Penn Treebank ------------------------------------------------------------------------------

TEXTS = tuple(
    prose(seed, lines).replace("word7 ", "<unk> ").replace("\n", " \n ")[:-1].encode()
    for seed, lines in ((0, 300), (1, 40), (2, 50))
)
SMALL = Edition(
    tuple(  # type: ignore[arg-type]
        OriginalFile(name, len(text), hashlib.md5(text).hexdigest())
        for name, text in zip(FILES, TEXTS, strict=True)
    )
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `load_text("ptb")` expect the small edition."""
    monkeypatch.setattr("nasgym.data.text.load_ptb", partial(load_ptb, SMALL))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("place", ["ptb", f"ptb/{UNPACKED}", UNPACKED, "."])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_penn_treebank_is_found_where_it_may_lie(folder: Path, place: str, suffix: str) -> None:
    (folder / place).mkdir(parents=True, exist_ok=True)
    for name, text in zip(FILES, TEXTS, strict=True):
        content = gzip.compress(text) if suffix else text
        (folder / place / f"{name}{suffix}").write_bytes(content)
    data = load_text("ptb")
    assert (len(data.train), len(data.valid)) == (300 * 11, 40 * 11)
    assert len(load_test_text("ptb")) == 50 * 11
    assert Counter(decoded(data, "train"))["<eos>"] == 300
    assert Counter(decoded(data, "train"))["<unk>"] == TEXTS[0].count(b"<unk>")
    lines = [line.strip() for line in TEXTS[0].decode().split("\n")]
    characters = load_text("ptb", unit="characters")
    assert "".join(decoded(characters, "train")) == "\n".join(lines)


def test_a_missing_penn_treebank_names_the_files_and_the_command(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="`nasgym data ptb`") as error:
        load_text("ptb")
    assert all(name in one_line(error) for name in (*FILES, str(folder / "ptb")))


def test_another_text_does_not_pass_for_the_penn_treebank(folder: Path) -> None:
    for name, text in zip(FILES, TEXTS, strict=True):
        (folder / name).write_bytes(text)
    with pytest.raises(DatasetError, match=r"is not Mikolov's ptb\.train\.txt") as error:
        load_text("ptb")
    assert str(folder / FILES[0]) in one_line(error)
    with pytest.raises(DatasetError):
        download_ptb()


def test_a_broken_gz_file_is_refused(folder: Path) -> None:
    for name, text in zip(FILES, TEXTS, strict=True):
        (folder / f"{name}.gz").write_bytes(gzip.compress(text)[:-20])
    with pytest.raises(DatasetError, match=r"ptb\.train\.txt\.gz is damaged") as error:
        load_ptb(SMALL)
    one_line(error)


def archive(
    path: Path, texts: tuple[bytes, ...] = TEXTS, names: tuple[str, ...] = FILES
) -> Edition:
    """Write an archive like Mikolov's and return its edition."""
    with tarfile.open(path, "w:gz") as file:
        for name, text in (("../escaped.txt", b"no"), *zip(names, texts, strict=True)):
            info = tarfile.TarInfo(f"./{UNPACKED}/{name}")
            info.size = len(text)
            file.addfile(info, io.BytesIO(text))
    return replace(SMALL, url=path.as_uri(), size=path.stat().st_size)


def test_a_download_keeps_the_three_files_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    edition = archive(tmp_path / "simple-examples.tgz")
    reports: list[tuple[int, int]] = []
    where = download_ptb(lambda done, size: reports.append((done, size)), edition)
    assert where == folder / "ptb"
    assert reports[-1] == (edition.size, edition.size)
    assert [path.name for path in sorted(folder.rglob("*.*"))] == sorted(FILES)
    assert not list(tmp_path.rglob("escaped.txt"))
    assert [(where / name).read_bytes() for name in FILES] == list(TEXTS)
    (tmp_path / "simple-examples.tgz").unlink()
    assert download_ptb(edition=edition) == where


@pytest.mark.parametrize(
    ("texts", "names", "words"),
    [
        ((TEXTS[0], TEXTS[1], TEXTS[2][::-1]), FILES, r"ptb\.test\.txt in .* is not Mikolov's"),
        ((TEXTS[0], TEXTS[1], TEXTS[2] + b"x"), FILES, r"ptb\.test\.txt in .* is not Mikolov's"),
        (TEXTS[:2], FILES[:2], r"lacks simple-examples/data/ptb\.test\.txt"),
    ],
)
def test_a_wrong_archive_leaves_nothing(
    folder: Path, tmp_path: Path, texts: tuple[bytes, ...], names: tuple[str, ...], words: str
) -> None:
    edition = archive(tmp_path / "wrong.tgz", texts, names)
    with pytest.raises(DatasetError, match=words) as error:
        download_ptb(edition=edition)
    assert edition.url in one_line(error)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("fault", ["missing", "cut", "longer", "other"])
def test_a_failed_download_says_what_to_do_and_leaves_nothing(
    folder: Path, tmp_path: Path, fault: str
) -> None:
    path = tmp_path / "origin.tgz"
    edition = archive(path)
    content = path.read_bytes()
    if fault == "missing":
        path.unlink()
    elif fault == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif fault == "longer":
        edition = replace(edition, size=10)
        archive(path, (np.random.default_rng(0).bytes(1 << 20),), ("ptb.char.txt",))
    else:
        path.write_bytes(b"<html>Not here any more</html>")
    with pytest.raises(ConnectionError, match="could not be downloaded") as error:
        download_ptb(edition=edition)
    assert str(folder / "ptb") in one_line(error)
    assert not list(folder.iterdir())


def test_the_real_penn_treebank_has_the_published_counts() -> None:
    if find_ptb() is None:
        pytest.skip("the Penn Treebank is not in the data folder")
    data = load_text("ptb")
    assert (len(data.train), len(data.valid)) == (929_589, 73_760)
    assert len(load_test_text("ptb")) == 82_430
    assert len(data.vocabulary) == 10_000
    characters = load_text("ptb", unit="characters")
    assert (len(characters.train), len(characters.valid)) == (5_017_482, 393_042)


# Wrong text -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"word", "training tokens; 1,000 or more are needed"),
        (b"only a few words\n" * 20, "training tokens; 1,000 or more are needed"),
        (b"word\0word" * 1000, "byte 4 is zero"),
        ("caf\u00e9 ".encode("latin-1") * 1000, "is not UTF-8 text: byte 3 is 0xe9"),
        (("word " * 1000).encode("utf-16"), "is zero"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "book.txt"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=words) as error:
        load_text(str(path))
    assert str(path) in one_line(error)


def test_a_byte_order_mark_and_carriage_returns_are_no_part_of_the_text(tmp_path: Path) -> None:
    plain, windows = tmp_path / "plain.txt", tmp_path / "windows.txt"
    plain.write_bytes(prose(0).encode())
    windows.write_bytes(prose(0).replace("\n", "\r\n").encode("utf-8-sig"))
    assert (
        load_text(str(plain), unit="characters").digest
        == load_text(str(windows), unit="characters").digest
    )


def test_a_file_too_large_for_memory_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DatasetError, match="is too large") as error:
        load_text(str(path))
    assert str(path) in one_line(error)


def test_validation_text_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}.txt").write_text(prose(0))
    (tmp_path / "valid.txt").write_text(prose(0).replace("word", "mot"))
    with pytest.raises(DatasetError, match=r"another vocabulary .* 91%") as error:
        load_text(str(tmp_path))
    assert str(tmp_path) in one_line(error)
    load_text(str(tmp_path), unit="characters")


@pytest.mark.parametrize("missing", ["train", "valid", "test"])
def test_a_folder_that_lacks_a_part_is_refused(tmp_path: Path, missing: str) -> None:
    for part in {"train", "valid", "test"} - {missing}:
        (tmp_path / f"{part}.txt").write_text(prose(0))
    with pytest.raises(FileNotFoundError, match=rf"lacks {missing}\.txt") as error:
        load_text(str(tmp_path))
    assert str(tmp_path) in one_line(error)


def test_a_corpus_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no text at") as error:
        load_text(str(tmp_path / "nothing.txt"))
    assert "nothing.txt" in one_line(error)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"unit": "letters"}, "unit must be words or characters, not 'letters'"),
        ({"vocabulary_size": 1}, "vocabulary_size must be 2 or more, not 1"),
        ({"train_size": 999}, "train_size must be from 1,000 to"),
        ({"train_size": 1_000_000}, "train_size must be from 1,000 to"),
        ({"valid_size": 99}, "valid_size must be from 100 to"),
        ({"valid_size": -1}, "valid_size must be from 100 to"),
    ],
)
def test_impossible_options_are_refused(file: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(DatasetError, match=words) as error:
        load_text(str(file), **options)  # type: ignore[arg-type]
    one_line(error)
