"""The JSON that both databases keep unchanged: all other values are refused before anything is sent.

PostgreSQL stores numbers of jsonb as decimals: a floating-point number that Python writes with an exponent comes back
as a whole number, and not always the same one. SQLite's functions for JSON make a floating-point number of a whole one
beyond eight bytes. Python's `json` turns a key that is no text into one, and the drivers differ in their errors for
everything else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

_LEAST, _MOST = -(2**63), 2**63 - 1
_DEEPEST = 500  # levels; SQLite reads 1,000, and Python fewer if its stack is in use
_LONGEST = 40  # displayed characters of a key
_SHOWN = 5  # displayed keys of a path at each end
_EXPONENT = 1e16  # from here on Python writes a floating-point number with one
_AS_TEXT = " Write it as a text."
_TEXTUAL = frozenset({"UUID", "datetime", "date", "time", "Decimal"})
_END = object()


def refuse_unkeepable(document: Any, place: str) -> None:
    """Raise an error for the first part of a document that one of the databases would refuse or change.

    Args:
        document: The document.
        place: The name of its column, or another name for messages.

    Raises:
        TypeError: JSON does not have the part.
        ValueError: JSON has it, and one of the databases does not keep it.
    """
    if not isinstance(document, dict | list | tuple):
        _refuse(document, place, [])
        return
    # Not recursive: the document may be deeper than Python's stack, or contain itself.
    containers: list[Iterator[tuple[Any, Any]]] = [_parts(document)]
    path: list[Any] = [None]
    while containers:
        key, value = next(containers[-1], (None, _END))
        if value is _END:
            containers.pop()
            path.pop()
            continue
        path[-1] = key
        _refuse(value, place, path)
        if isinstance(value, dict | list | tuple):
            if len(path) > _DEEPEST:
                raise ValueError(
                    f"{_where(place, path)} is deeper than {_DEEPEST} levels, or the document contains itself. Nothing"
                    " was sent."
                )
            containers.append(_parts(value))
            path.append(None)


def unkeepable(text: str) -> str:
    """Return the characters of a text that PostgreSQL refuses, in words; empty if it keeps the text."""
    if "\0" in text:
        return "a NUL character (\\x00)"
    if text.isascii():
        return ""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"half of a surrogate pair (\\u{ord(text[error.start]):04x})"
    return ""


class _Key(str):
    """The name of a part in an object, unlike the number of one in a list."""

    __slots__ = ()


def _parts(value: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> Iterator[tuple[Any, Any]]:
    """Yield each part with its number in a list, or its key in an object."""
    if not isinstance(value, dict):
        yield from enumerate(value)
        return
    for key, held in value.items():
        # A key of another type stands for itself, and is refused.
        yield (_Key(key), held) if isinstance(key, str) else (_Key(repr(key)), _NoText(key))


class _NoText:
    """A key that is no text, in the place of its part."""

    def __init__(self, key: object) -> None:
        self.kind = type(key).__name__


def _refuse(value: Any, place: str, path: list[Any]) -> None:
    if path and isinstance(path[-1], _Key) and (found := unkeepable(path[-1])):
        raise ValueError(
            f"A key of {_where(place, path[:-1])} has {found}, which PostgreSQL refuses. Nothing was sent."
        )
    if isinstance(value, _NoText):
        raise TypeError(
            f"{_where(place, path[:-1])} has the key {path[-1][:_LONGEST]}, which is of type {value.kind} and not a"
            " text. Nothing was sent."
        )
    if value is None or isinstance(value, bool | dict | list | tuple):
        return
    if isinstance(value, str):
        if found := unkeepable(value):
            raise ValueError(
                f"{_where(place, path)} has {found}, which PostgreSQL refuses. Nothing was sent."
            )
    elif isinstance(value, int | float):
        if found := _unkeepable_number(value):
            raise ValueError(f"{_where(place, path)} is {found} Nothing was sent.")
    else:
        advice = _AS_TEXT if type(value).__name__ in _TEXTUAL else ""
        raise TypeError(
            f"{_where(place, path)} is of type {type(value).__name__}, which JSON does not have.{advice} Nothing was"
            " sent."
        )


def _unkeepable_number(number: float) -> str:
    if isinstance(number, int):
        if _LEAST <= number <= _MOST:
            return ""
        return f"a whole number beyond eight bytes, which SQLite does not keep.{_AS_TEXT}"
    if not math.isfinite(number):
        return f"{number}, which JSON does not have."
    if abs(number) < _EXPONENT or Decimal(repr(float(number))) == Decimal(number):
        return ""
    return f"{float(number)!r}, which PostgreSQL returns as another number.{_AS_TEXT}"


def _where(place: str, path: list[Any]) -> str:
    steps = [f"[{key[:_LONGEST]!r}]" if isinstance(key, str) else f"[{key}]" for key in path]
    if len(steps) > 2 * _SHOWN:
        steps[_SHOWN:-_SHOWN] = ["[…]"]
    return place + "".join(steps)
