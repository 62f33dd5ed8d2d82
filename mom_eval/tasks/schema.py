"""The fields that a row of each task must have, and what may stand in them."""

from typing import Any

from mom_eval.errors import DataError

Row = dict[str, Any]

_BY_KEY = {"key": "line", "value": "line", "text": "text"}
_BY_QUESTION = {"context": "text", "question": "line", "answers": "lines"}
REQUIRED: dict[str, dict[str, str]] = {
    "fda": _BY_KEY,
    "swde": _BY_KEY,
    "squad": {"text": "line", "value": "line"},
    "nq": _BY_QUESTION,
    "triviaqa": _BY_QUESTION,
    "drop": _BY_QUESTION,
}
"""Task -> field -> form."""
_OPTIONAL: dict[str, dict[str, str]] = {
    "squad": {"context": "text", "question": "text"},
    "nq": {"orig_question": "text", "alt_answers": "texts", "tok_pos": "count"},
    "triviaqa": {"orig_question": "text"},
    "drop": {"orig_question": "text"},
}
_EXPECTED = {
    "text": "a string",
    "line": "a string that is not blank",
    "lines": "a list of strings, at least one of them not blank",
    "texts": "a list of strings",
    "count": "a whole number from 0 on",
}


def checked(task: str, row: Any, where: str) -> Row:
    """The row as plain Python, if its task can ask it.

    A field that is null counts as absent; fields the task does not know are kept as they are.
    Tuples and arrays (parquet) become lists.

    Args:
        task: one of the six.
        row: what stands in the file.
        where: file and line, for the message.

    Raises:
        DataError: what is wrong in which field, and what was expected.
    """
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object with the fields of {task}, not {_show(row)}")
    row = {field: _plain(value) for field, value in row.items() if value is not None}
    for field, form in REQUIRED[task].items():
        if field not in row:
            raise DataError(
                f"{where}: there is no field {field!r}, which must be {_EXPECTED[form]};"
                f" a row of {task} needs {', '.join(REQUIRED[task])}"
            )
        _check(row[field], form, field, where)
    for field, form in _OPTIONAL.get(task, {}).items():
        if field in row:
            _check(row[field], form, field, where)
    return row


def _check(value: Any, form: str, field: str, where: str) -> None:
    texts = value if form in ("lines", "texts") else [value]
    sound = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    blank = sound and form in ("line", "lines") and not any(text.strip() for text in texts)
    if form == "count":
        texts, sound = [], isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not sound or blank:
        raise DataError(
            f"{where}: field {field!r} must be {_EXPECTED[form]}, not {_show(value)}; mend the row"
        )
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{where}: field {field!r} holds half a character (a lone surrogate), which no"
            " tokenizer can read; mend the row"
        ) from None


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # a numpy array or scalar
        value = value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
