"""The base classes of this package's own exceptions."""


class NasgymError(Exception):
    """A mistake or a condition that the user can correct; the message is one line."""


class InvalidInput(NasgymError, ValueError):
    """An option, an argument or a file that cannot be used; the message says what to do."""
