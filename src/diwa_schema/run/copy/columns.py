"""The transfer of one column's values: read from either database, written to PostgreSQL, and compared.

A value is transferred as PostgreSQL's text output, so that values beyond Python's types survive between two servers:
infinite times, numbers of thirty digits in a document. From SQLite a value goes through the type of its model, which
knows every spelling in use there. Values are compared in a normal form: a document's keys are sorted, and its numbers
have no redundant zeros.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Literal, NoReturn
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from diwa_schema.migrations.steps.retype.conversion import as_bytes, as_vector
from diwa_schema.models.base import PostgresColumn
from diwa_schema.models.kinds import vector_text
from diwa_schema.models.types import (
    Bytes,
    Cost,
    Count,
    Document,
    Embedding,
    Flag,
    LooseId,
    Real,
    ShortText,
    TextArray,
    Timestamp,
    UniqueId,
)
from diwa_schema.models.types.documents import LENGTH
from diwa_schema.names import amount, quoted

Kind = Literal["vector", "bytea", "blob"]
Read = Callable[[Any], str | None]
Text = Callable[[str], str]


class Misfit(Exception):  # noqa: N818 - no error: such an embedding goes to the archive
    """An embedding that does not fit into a vector, with the reason."""


@dataclass(frozen=True, slots=True)
class Travelling:
    """A copied column.

    Args:
        name: Its name.
        asked: Its expression in a SELECT on the source, as SQL.
        shown: Its expression on the target, for the comparison.
        read: Returns the text of a value of the source. Raises `Misfit`, or ValueError and the like if PostgreSQL has
            no such value.
        sent: Returns the text for COPY; None if it is the same.
        compared: Returns a normal form that is equal for all texts of the same value; None if the text is one.
    """

    name: str
    asked: str
    shown: str
    read: Read | None = None
    sent: Text | None = None
    compared: Text | None = None


def travelling(column: sa.Column[Any], *, lite: bool, kinds: tuple[Kind, Kind]) -> Travelling | None:
    """Return the transfer of a column's values to PostgreSQL; None if the target generates them.

    Args:
        column: The column of the models or the steps.
        lite: Whether the source is SQLite.
        kinds: The kind of an embedding column in the source and in the target.
    """
    if isinstance(column, PostgresColumn):
        return None  # the words for the search: a trigger generates them from the content
    name, kind = quoted(column.name), column.type
    many = isinstance(kind, TextArray)
    shown = f"to_jsonb({name})" if many else name
    if isinstance(kind, Embedding):
        read = _embedding(*kinds)
        compared: Text | None = _single_precision if kinds[1] == "vector" else None
    else:
        read = _reading(column) if lite else None
        compared = _COMPARED.get(type(kind))
    return Travelling(column.name, name if lite else shown, shown, read, _array if many else None, compared)


def _embedding(source: Kind, target: Kind) -> Read | None:
    """Return the conversion of an embedding between two kinds of columns; None if it stays unchanged."""
    if source == target:
        return None

    def to_vector(value: str | bytes) -> str | None:
        found, reason = as_vector(raw_bytes(value, source))
        if reason:
            raise Misfit(reason)
        return None if found is None else vector_text(found)

    def to_bytes(value: str | bytes) -> str | None:
        return _hex(as_bytes(value) if source == "vector" else raw_bytes(value, source))

    return to_vector if target == "vector" else to_bytes


def raw_bytes(value: str | bytes, kind: Kind) -> bytes:
    """Return the bytes of a value in a column of that kind; PostgreSQL shows bytes in hexadecimal."""
    if kind == "bytea" and isinstance(value, str):
        return bytes.fromhex(value[2:])
    return value.encode() if isinstance(value, str) else bytes(value)


def _hex(value: bytes) -> str:
    return f"\\x{value.hex()}"


_LITE = sqlite.dialect()


def _reading(column: sa.Column[Any]) -> Read:
    """Return the function that reads a value of SQLite."""
    kind = column.type
    if isinstance(kind, Document):
        return _document
    if isinstance(kind, Count):
        return _whole
    through = kind.dialect_impl(_LITE).result_processor(_LITE, None) or _same
    finish = _FINISH.get(type(kind), _plain)
    if isinstance(kind, Timestamp) and kind.precision == 0:
        finish = _second
    elif isinstance(kind, ShortText):
        finish = partial(_short, length=kind.length)

    def read(value: Any) -> str | None:
        found = through(value)
        return None if found is None else finish(found)

    return read


def _same(value: Any) -> Any:
    return value


def _plain(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"it is not a text, but {type(value).__name__}")
    if "\0" in value:
        raise ValueError("it has a zero byte, which PostgreSQL refuses in a text")
    return value


def _whole(value: Any) -> str:
    if not isinstance(value, int):
        raise TypeError(f"it is not a whole number, but {type(value).__name__}")
    return str(value)


def moment(value: Any) -> str:
    """Return a time as PostgreSQL shows it: a fraction without its last zeros."""
    text: str = value.replace(tzinfo=None).isoformat(sep=" ")
    return text.rstrip("0") if "." in text else text


def _second(value: Any) -> str:
    # PostgreSQL would round, and so move half of all times into the future.
    return moment(value.replace(microsecond=0))


def _flag(value: Any) -> str:
    return "t" if value else "f"


def _list(value: Any) -> str:
    for text in value:
        if text is not None:
            _short(text, LENGTH)
    return json.dumps(value, ensure_ascii=False)


def _short(value: Any, length: int) -> str:
    """Refuse a text that is too long: PostgreSQL would silently cut spaces at its end."""
    text = _plain(value)
    if len(text) > length:
        raise ValueError(f"it has {amount(len(text), 'character')}, and at most {length} are allowed")
    return text


_FINISH: dict[Any, Callable[[Any], str]] = {
    UniqueId: str,
    LooseId: lambda value: str(UUID(value)),
    Real: repr,
    Cost: str,
    Timestamp: moment,
    Flag: _flag,
    TextArray: _list,
    Bytes: _hex,
    sa.LargeBinary: _hex,
}


def _document(value: Any) -> str:
    """Return a document of SQLite as JSON; other text is a text, as for the model."""
    if isinstance(
        value, int | float
    ):  # a column of NUMERIC affinity turns a document that is only a number into a number
        return json.dumps(value)
    text: str = value.decode() if isinstance(value, bytes) else value
    try:
        # Python refuses to convert a whole number of more than 4,300 digits; here only the syntax matters.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_no_number)
    except _NotANumberError as error:
        raise ValueError("it has NaN or Infinity, which jsonb does not take") from error
    except ValueError:
        return json.dumps(text, ensure_ascii=False)
    return text


class _NotANumberError(Exception):
    pass


def _no_number(text: str) -> NoReturn:
    raise _NotANumberError(text)


def _array(text: str) -> str:
    """Return the texts of a JSON list in PostgreSQL's notation of an array."""
    return _elements(json.loads(text))


def _elements(found: list[Any]) -> str:
    return "{" + ",".join(map(_element, found)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return _elements(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _meaning(text: str) -> str:
    """Return one form for all spellings of a document."""
    return repr(_ordered(json.loads(text, parse_float=_number, parse_int=_number)))


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return [_ordered(one) for one in value] if isinstance(value, list) else value


def _number(text: str) -> tuple[str]:
    sign, digits, exponent = Decimal(text).as_tuple()
    significant = "".join(map(str, digits)).rstrip("0")
    if not significant:
        return ("0",)
    return (f"{'-' * sign}{significant}e{int(exponent) + len(digits) - len(significant)}",)


def _single_precision(text: str) -> str:
    numbers = [float(number) for number in text[1:-1].split(",")]
    return struct.pack(f"<{len(numbers)}f", *numbers).hex()


_COMPARED: dict[Any, Text] = {
    Document: _meaning,
    TextArray: lambda text: repr(json.loads(text)),
    Real: lambda text: repr(float(text)),
}
