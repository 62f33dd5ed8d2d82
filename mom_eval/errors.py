"""The errors a user can meet. Each carries one sentence: what happened, where, what to do next.

The command line prints the sentence and exits with status 1; the Python API raises. `ValueError`
and `assert` stay for mistakes of the programmer.
"""

from difflib import get_close_matches


class MomEvalError(Exception):
    """Anything the user can mend; the message is one sentence."""


class DataError(MomEvalError):
    """A data file is missing, broken, or not of the form its task needs."""


class ModelError(MomEvalError):
    """A model or its tokenizer cannot be found, loaded or used."""


class CheckpointError(ModelError):
    """A checkpoint's files and its configuration do not make a model."""


class SettingError(MomEvalError):
    """The options asked for do not fit together, or do not fit the model."""


class RunError(MomEvalError):
    """A run folder cannot be written, read, or is in use."""


class BaselineError(MomEvalError):
    """A baseline of the regression gate cannot be read, or is one of other questions."""


def nearest(name: str, known: list[str]) -> str:
    """What to say of an unknown `name`: the nearest known ones, or all of them."""
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
