"""Documentation: the text about the Python language that ships with every Python.

Some 370,000 characters in 79 topics, in alphabetical order. Topics repeat each other; of equal
paragraphs only the first is kept, else 15 % of the test text would be in the training text.
Nothing has to be fetched, but each release of Python has another text, hence another digest.
"""

from nasgym.data.corpus import Corpus, divided


def corpus() -> Corpus:
    """Return the corpus; raise FileNotFoundError, in one line, if this Python came without it."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise FileNotFoundError(
            "this Python came without its documentation (pydoc_data.topics): install it, or give "
            "a text of your own, corpus=FILE"
        ) from None
    text = "\n\n".join(topics[topic] for topic in sorted(topics))
    return divided("documentation", "\n\n".join(dict.fromkeys(text.split("\n\n"))))
