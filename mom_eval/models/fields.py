"""Dataclasses out of JSON: each value is of its field's type, or it is refused."""

from collections.abc import Mapping
from dataclasses import fields
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

LARGEST = 1e9
"""A number beyond is a broken file, not an option; limits, which are pairs, may be infinite."""


def build(kind: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass `kind` out of a JSON object of its fields.

    Raises:
        TypeError: there is a field too many, or one without a default is missing.
        ValueError: a value is not of its field's type, or a number beyond all bounds.
    """
    hints = get_type_hints(kind)
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            raise ValueError(f"{name} = {value!r}")
    return kind(**values)


def of_interest(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that are fields of the dataclass `kind`."""
    return {field.name: values[field.name] for field in fields(kind) if field.name in values}


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, UnionType):
        return any(_fits(value, kind) for kind in get_args(hint))
    if hint is float:
        return type(value) in (int, float) and abs(value) <= LARGEST
    if hint is int:
        return type(value) is int and abs(value) <= LARGEST
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        held = (str,) if kinds[0] is str else (int, float)
        sound = type(value) is tuple and all(type(x) in held for x in value)
        return sound and (kinds[-1] is ... or len(value) == len(kinds))
    return hint is Any or isinstance(value, hint)
