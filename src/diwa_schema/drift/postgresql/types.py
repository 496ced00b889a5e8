"""Types of PostgreSQL as text: whether a change of one leaves the rows as they are, and whether two are of one kind."""

from __future__ import annotations

import re
from typing import NamedTuple

_SHAPE = re.compile(
    r"(?P<name>[a-z_]\w*(?: [a-z]+)*?)\s*(?:\((?P<numbers>[\d, ]+)\))?"
    r"(?P<zone> with(?:out)? time zone)?(?P<array>(?:\[\d*\])*)"
)
_NAMES = {
    "bool": "boolean",
    "bpchar": "character",
    "char": "character",
    "decimal": "numeric",
    "float": "double precision",
    "float4": "real",
    "float8": "double precision",
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "bigserial": "bigint",
    "serial": "integer",
    "smallserial": "smallint",
    "timestamptz": "timestamp with time zone",
    "timetz": "time with time zone",
    "varbit": "bit varying",
    "varchar": "character varying",
}
_TIMES, _FINEST = ("interval", "time", "timestamp"), 6
# For these, a greater number or no number accepts every value unchanged.
_WIDER = frozenset(
    {"character varying", "bit varying", *_TIMES, "time with time zone", "timestamp with time zone"}
)
_COMPARED = {"character varying": "text"}
_LIKE = frozenset({("character varying", "text"), ("cidr", "inet")})


class Type(NamedTuple):
    """A type.

    Args:
        name: Its name, as PostgreSQL writes it.
        numbers: Its length, or its precision and scale.
        array: The brackets of an array.
    """

    name: str
    numbers: tuple[int, ...]
    array: str


def read(text: str) -> Type | None:
    """Return a type from its text; None if the form is unusual."""
    found = _SHAPE.fullmatch(" ".join(text.lower().replace('"', "").split()))
    if found is None:
        return None
    name = _NAMES.get(found["name"], found["name"])
    if found["zone"] == " with time zone":
        name += found["zone"]
    numbers = tuple(int(one) for one in (found["numbers"] or "").split(",") if one.strip())
    if numbers == (_FINEST,) and name.partition(" ")[0] in _TIMES:
        numbers = ()
    return Type(name.removesuffix(" without time zone"), numbers, re.sub(r"\d", "", found["array"]))


def keeps_rows(before: str, after: str) -> bool:
    """Return whether ALTER TYPE leaves all rows unchanged, so that the table is not rewritten.

    Args:
        before: The present type of the column.
        after: The new type.
    """
    old, new = read(before), read(after)
    if old is None or new is None or old.array or new.array:
        return False
    if old == new or ((old.name, new.name) in _LIKE and not new.numbers):
        return True
    if old.name != new.name or not old.numbers:
        return False
    if not new.numbers:
        return old.name in _WIDER or old.name == "numeric"
    if old.name == "numeric":
        return new.numbers[0] >= old.numbers[0] and new.numbers[1:] == old.numbers[1:]
    return old.name in _WIDER and new.numbers[0] >= old.numbers[0]


def same(one: str, other: str) -> bool:
    """Return whether two types are equal except for a length; a text with a length compares like one without."""
    first, second = read(one), read(other)
    if first is None or second is None:
        return True
    return (_COMPARED.get(first.name, first.name), first.array) == (
        _COMPARED.get(second.name, second.name),
        second.array,
    )
