"""The test data: for the final phase of a search, once, and for nothing else.

After a search the best architecture is trained to convergence and tested (Zoph & Le 2017, sections
4.1 and 4.2). Whoever looks at the test images or the test text before that, or chooses by what
they say, no longer measures how well a network does on data nobody has seen. So they have a file
of their own, and no evaluator, environment or agent imports it.
"""

from pathlib import Path

from nasgym.data import cifar10, digits, images, text
from nasgym.data.dataset import Images, Labels, resize
from nasgym.data.text import Tokens


def load_test(data: str, *, image_size: int | None = None) -> tuple[Images, Labels]:
    """Return the test images of `data` and their labels; `data` and `image_size` as for `load`.

    They are the same whatever the seed, and in no `ImageData`.
    """
    if data == "digits":
        tested, labels = digits.test_images()
    elif data == "cifar10":
        tested, labels = cifar10.test_images()
    else:
        tested, labels = images.test_images(Path(data), image_size)
    return resize(tested, image_size), labels


def load_test_text(corpus: str, *, unit: str = "words", vocabulary_size: int = 10_000) -> Tokens:
    """Return the test text of `corpus` in the vocabulary of its training text, (n,).

    The options are those of `nasgym.data.load_text`. The test text is in no `TextData`.
    """
    source = text.find(corpus)
    vocabulary = text.most_common(source.tokens(source.train, unit), vocabulary_size)
    return text.encode(source.tokens(source.test, unit), vocabulary)
