"""Whether a run folder holds what leaderboards read: it may have been edited, or be another's."""

from collections.abc import Mapping
from typing import Any

from mom_eval.errors import RunError

_NUMBER = (int, float)
_INFO: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "label": (str,),
    "kind": (str,),
    "model": (dict, type(None)),
    "tokenizer": (dict, type(None)),
    "setting": (dict,),
    "data": (dict,),
    "dropped": (dict,),
    "missing_answer": (dict,),
    "hidden_answer": (dict,),
    "no_score": (dict,),
    "started": (str, type(None)),
    "finished": (str, type(None)),
}
_LM_EVAL_INFO = _INFO | {"results": (dict,)}
_SETTING: dict[str, tuple[type, ...]] = {
    "protocol": (str,),
    "context_length": (int,),
    "answer_length": (int,),
    "repeat": (int,),
    "haystack": (int, type(None)),
    "depth": (*_NUMBER, type(None)),
    "control": (str, type(None)),
    "keep_dropped": (bool,),
    "bos": (bool,),
    "seed": (int,),
}
_NO_NUMBER = (*_NUMBER, type(None))
_COSTS: dict[str, tuple[type, ...]] = {
    "seconds": _NO_NUMBER,
    "peak_memory_bytes": _NO_NUMBER,
    "tokens": (dict, type(None)),
}
"""What a run that did not finish, or an older one, does not say."""
_TOKENS = {"read": _NUMBER, "written": _NUMBER, "scored": _NUMBER}
_MODEL: dict[str, tuple[type, ...]] = {
    "id": (str, type(None)),
    "revision": (str, type(None)),
    "weights_sha256": (str, type(None)),
    "parameters": _NO_NUMBER,
    "activated": _NO_NUMBER,
    "state_bytes": _NO_NUMBER,
    "state_bytes_per_token": _NO_NUMBER,
    "decode_bytes": _NO_NUMBER,
}
"""What is not known of every model."""
_LINE: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "document": (str,),
    "contains": _NUMBER,
    "exact": _NUMBER,
    "f1": _NUMBER,
    "bits_per_byte": (*_NUMBER, type(None)),
}
_LM_EVAL_LINE: dict[str, tuple[type, ...]] = {"id": (str,), "filter": (str,), "metrics": (dict,)}


def check_info(info: Mapping[str, Any], where: str) -> None:
    """Refuse a `run.json` that a leaderboard could not read.

    Raises:
        RunError: which field is missing or of another type.
    """
    _check(info, _LM_EVAL_INFO if info.get("kind") == "lm-eval" else _INFO, where)
    _check(info["setting"], _SETTING, f"{where}, setting")
    _check(info["data"], {"source": (str,), "files": (dict,)}, f"{where}, data")
    _check_known(info, _COSTS, where)
    if info.get("tokens"):
        _check(info["tokens"], _TOKENS, f"{where}, tokens")
    _check_known(info["model"] or {}, _MODEL, f"{where}, model")
    # Of lm-eval's own tasks the file is their YAML, which has no rows.
    rows = (int, type(None)) if info.get("kind") == "lm-eval" else (int,)
    for task, file in info["data"]["files"].items():
        at = f"{where}, data, files, {task}"
        if not isinstance(file, dict):
            raise RunError(f"{at} is no object; {_MEND}")
        _check(file, {"sha256": (str,), "rows": rows}, at)


def check_line(line: Any, kind: str, where: str) -> None:
    """Refuse a line of answers that a leaderboard could not read.

    Raises:
        RunError: it is no object, or which field is missing or of another type.
    """
    if not isinstance(line, dict):
        raise RunError(f"{where} is no object; {_MEND}")
    _check(line, _LM_EVAL_LINE if kind == "lm-eval" else _LINE, where)


def check_sample(line: Mapping[str, Any], where: str) -> None:
    """Refuse a line whose texts could not be shown.

    Raises:
        RunError: which field is missing or of another type.
    """
    _check(line, {"question": (str,), "answers": (list,), "output": (str,)}, where)


_MEND = "the folder was changed by hand or by another version: remove it and run again"


def _check_known(
    found: Mapping[str, Any], fields: Mapping[str, tuple[type, ...]], where: str
) -> None:
    """As `_check`; fields may be missing."""
    _check(found, {name: types for name, types in fields.items() if name in found}, where)


def _check(found: Mapping[str, Any], fields: Mapping[str, tuple[type, ...]], where: str) -> None:
    for name, types in fields.items():
        if name not in found:
            raise RunError(f"{where} has no field {name!r}; {_MEND}")
        if not isinstance(found[name], types):
            raise RunError(f"{where} has a {name!r} that is {found[name]!r:.40}; {_MEND}")
