"""Documentation: the text about the Python language that ships with every Python.

It has some 370,000 characters in 79 topics, in alphabetical order. Topics repeat each other, so
only the first of equal paragraphs is kept; otherwise 15 % of the test text would be in the training
text. Nothing is downloaded, but each release of Python has another text, hence another digest.
"""

from nasgym.data.corpus import Corpus, split_text


def load_documentation() -> Corpus:
    """Return the corpus; raise FileNotFoundError, in one line, if this Python came without it."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise FileNotFoundError(
            "this Python came without its documentation (pydoc_data.topics): install it, or give "
            "your own text by corpus=FILE"
        ) from None
    text = "\n\n".join(topics[topic] for topic in sorted(topics))
    return split_text("documentation", "\n\n".join(dict.fromkeys(text.split("\n\n"))))
