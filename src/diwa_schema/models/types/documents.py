"""JSON documents and lists of texts: native types on PostgreSQL, JSON stored as text on SQLite."""

from __future__ import annotations

import json
from typing import Any, Literal

from sqlalchemy import ARRAY, JSON, TEXT, Boolean, ColumnElement, String, literal
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine

from diwa_schema.models.types.declared import Declared

LENGTH = 255


class _HasAll(FunctionElement[bool]):
    """The comparison whether a column contains a value: ``@>`` on PostgreSQL, where an index serves it."""

    type = Boolean()
    inherit_cache = True


class _HasAllTexts(_HasAll):
    """The same comparison for a list of texts, which SQLite also supports."""

    inherit_cache = True


@compiles(_HasAll)
def _contains(element: _HasAll, compiler: Any, **options: Any) -> str:
    column, value = (compiler.process(each, **options) for each in element.clauses)
    return f"({column} @> {value})"


@compiles(_HasAll, "sqlite")
def _refuse_to_contain(*_: Any, **__: Any) -> str:
    raise CompileError(
        "SQLite has no operator for a document inside another one. Compare its parts:"
        " Memory.metadata_['type'].as_string() == 'decision' works on both databases."
    )


@compiles(_HasAllTexts, "sqlite")
def _contains_texts(element: _HasAll, compiler: Any, **options: Any) -> str:
    column, value = (compiler.process(each, **options) for each in element.clauses)
    # A text that is not JSON comes from early agents; such a list cannot be searched there.
    return (
        f"(CASE WHEN json_valid({column}) THEN NOT EXISTS (SELECT 1 FROM json_each({value}) AS wanted"
        f" WHERE wanted.value NOT IN (SELECT held.value FROM json_each({column}) AS held)) ELSE 0 END)"
    )


class Document(TypeDecorator[Any]):
    """A JSON document: jsonb on PostgreSQL, JSON as text on SQLite.

    A value can be any JSON, because the database does not restrict a document to one type. SQLite text that is not JSON
    is returned unchanged. None is SQL NULL; ``sqlalchemy.JSON.NULL`` writes the JSON value null. The models track
    changes inside a document, at any depth.

    Args:
        sqlite: The declared type on SQLite.
    """

    impl = JSON
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[Any], JSON.Comparator[Any]):
        """The comparisons of a document."""

        def contains(self, other: Any, **_: Any) -> ColumnElement[bool]:
            """Return whether a document contains another one, at every depth; PostgreSQL only.

            Raises:
                CompileError: The statement is compiled for SQLite, which would find nothing.
            """
            return _HasAll(self.expr, literal(other, self.type))

    comparator_factory = Comparator

    def __init__(self, sqlite: Literal["TEXT", "JSONB"] = "TEXT") -> None:
        super().__init__(none_as_null=True)
        self.sqlite: Literal["TEXT", "JSONB"] = sqlite

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(TEXT() if self.sqlite == "TEXT" else Declared("JSONB"))
        if dialect.name != "postgresql":
            return dialect.type_descriptor(JSON(none_as_null=True))
        from sqlalchemy.dialects.postgresql import JSONB

        return dialect.type_descriptor(JSONB(none_as_null=True))

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> Any:
        return self.impl_instance.coerce_compared_value(op, value)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return "null" if value is JSON.NULL else _write_json(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return _read_json(value) if dialect.name == "sqlite" else value


def _write_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _read_json(value: Any) -> Any:
    # A column with NUMERIC affinity returns a document that is only a number as a number.
    if not isinstance(value, str | bytes):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


class TextArray(TypeDecorator[list[str]]):
    """A list of short texts: varchar(255)[] on PostgreSQL, a JSON list as text on SQLite.

    SQLite text that is not a JSON list is read as comma-separated names, the format of early agent releases.

    Raises:
        TypeError: One text is given instead of a list.
        ValueError: A text for PostgreSQL is longer than 255 characters. SQLAlchemy wraps both errors as
            ``StatementError``.
    """

    impl = ARRAY
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[list[str]], ARRAY.Comparator[list[str]]):
        """The comparisons of a list."""

        def contains(self, other: Any, **_: Any) -> ColumnElement[bool]:
            """Return whether a list contains all texts of another one, on both databases."""
            return _HasAllTexts(self.expr, literal(other, self.type))

    comparator_factory = Comparator

    def __init__(self) -> None:
        super().__init__(String(LENGTH))

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(TEXT())
        return dialect.type_descriptor(ARRAY(String(LENGTH)))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        if isinstance(value, str):
            raise TypeError("A text array takes a list of texts, not one text.")
        return _write_json(list(value)) if dialect.name == "sqlite" else _checked(list(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> list[str] | None:
        return _read_texts(value) if isinstance(value, str) else value


def _checked(texts: list[str]) -> list[str]:
    # The statement casts to varchar(255)[], and an explicit cast truncates silently.
    if any(item is not None and len(item) > LENGTH for item in texts):
        raise ValueError(f"A text of the list is too long: a text array takes {LENGTH} characters each.")
    return texts


def _read_texts(text: str) -> list[Any] | None:
    content = _read_json(text)
    if content is None:
        return None
    if isinstance(content, list):
        return [item if item is None or isinstance(item, str) else _write_json(item) for item in content]
    return [name.strip() for name in text.split(",") if name.strip()]
