"""Dataclasses out of JSON: every value is of its field's type, or it is refused."""

from collections.abc import Mapping
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

LARGEST = 1e9
"""A number beyond is a broken file, not an option; only a pair of limits may be infinite."""


def build(kind: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass `kind` with these fields.

    Raises:
        TypeError: there is no such field, or one without a default is missing.
        ValueError: a value is of another type than its field, or out of all bounds.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{values!r} where the fields of {kind.__qualname__} belong")
    hints = get_type_hints(kind)
    out = {name: _fitting(name, value, hints.get(name)) for name, value in values.items()}
    return kind(**out)


def present(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that are fields of the dataclass `kind`."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def _fitting(name: str, value: Any, hint: Any) -> Any:
    if hint is None or hint is Any:
        return value
    kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    for kind in kinds:
        if get_origin(kind) is tuple and isinstance(value, (list, tuple)):
            return _items(name, tuple(value), get_args(kind))
        if kind is float and type(value) in (int, float) and abs(value) <= LARGEST:
            return float(value)
        if kind is int and type(value) is int and abs(value) <= LARGEST:
            return value
        if kind in (bool, str, NoneType) and type(value) is kind:
            return value
        if isinstance(value, kind if isinstance(kind, type) else ()):
            if kind not in (bool, str, NoneType, int, float):
                return value
    raise ValueError(f"{name} = {value!r}")
