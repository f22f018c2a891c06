"""The test data: only for the final phase of a search, and only once.

After a search the best architecture is trained to convergence and tested (Zoph & Le 2017, sections
4.1 and 4.2). If the test data were used earlier, or to choose anything, the test result would no
longer measure generalization. So they have their own file, which no evaluator, environment or agent
imports.
"""

from pathlib import Path

from nasgym.data import text
from nasgym.data.cifar10 import load_cifar10_test
from nasgym.data.dataset import Images, Labels, resize
from nasgym.data.digits import load_digits_test
from nasgym.data.image_files import load_image_files_test
from nasgym.data.text import Tokens


def load_test(data: str, *, image_size: int | None = None) -> tuple[Images, Labels]:
    """Return the test images of `data` and their labels.

    `data` and `image_size` are those of `nasgym.data.load`. The images are the same for every seed
    and in no `ImageData`.
    """
    if data == "digits":
        images, labels = load_digits_test()
    elif data == "cifar10":
        images, labels = load_cifar10_test()
    else:
        images, labels = load_image_files_test(Path(data), image_size)
    return resize(images, image_size), labels


def load_test_text(corpus: str, *, unit: str = "words", vocabulary_size: int = 10_000) -> Tokens:
    """Return the test text of `corpus` in the vocabulary of its training text, (n,).

    The options are those of `nasgym.data.load_text`. The test text is in no `TextData`.
    """
    source = text.load_corpus(corpus)
    vocabulary = text.most_common(source.tokens(source.train, unit), vocabulary_size)
    return text.encode(source.tokens(source.test, unit), vocabulary)
