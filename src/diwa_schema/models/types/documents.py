"""JSON documents and lists of texts: native types on PostgreSQL, JSON stored as text on SQLite."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from sqlalchemy import ARRAY, JSON, TEXT, Boolean, ColumnElement, String, Table, literal
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import CollectionAggregate
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine

from diwa_schema.models.types.declared import Declared
from diwa_schema.models.types.keepable import refuse_unkeepable
from diwa_schema.models.types.refused import OnPostgresql
from diwa_schema.models.types.scalars import storable

LENGTH = 255

_ON_BOTH = frozenset({
    operators.is_, operators.is_not,
    operators.asc_op, operators.desc_op, operators.nulls_first_op, operators.nulls_last_op, operators.distinct_op,
})  # fmt: skip
_PARTS = frozenset({operators.json_getitem_op, operators.json_path_getitem_op})
_OF_DOCUMENTS = _ON_BOTH | _PARTS
_OF_PARTS = _OF_DOCUMENTS - {operators.is_, operators.is_not}  # an absent part is JSON's null on SQLite
_EQUAL = frozenset({
    operators.eq, operators.ne, operators.in_op, operators.not_in_op,
    operators.is_distinct_from, operators.is_not_distinct_from,
})  # fmt: skip
_OF_LISTS = _ON_BOTH | _EQUAL
"""The operators with one meaning on both databases: SQLite has equal texts for equal lists, but not for documents."""

_OF_ELEMENTS: dict[Any, Callable[[ColumnElement[Any]], ColumnElement[Any]]] = {
    operators.any_op: CollectionAggregate._create_any,  # noqa: SLF001 - any_() asks the type, which is here
    operators.all_op: CollectionAggregate._create_all,  # noqa: SLF001
}
_WITH_DOCUMENTS = _EQUAL | {operators.lt, operators.le, operators.gt, operators.ge, operators.concat_op}
"""The operators of PostgreSQL whose other side is a document as well, not a key of one."""


def _on_both(
    op: OperatorType, operation: ColumnElement[Any], allowed: frozenset[Any], advice: str
) -> ColumnElement[Any]:
    """Return an operation, for PostgreSQL only if the databases differ in it; ``== None`` has become IS NULL."""
    alike = op in allowed or getattr(operation, "operator", None) in allowed
    return operation if alike else OnPostgresql(operation, advice)


_DOCUMENTS_ADVICE = (
    "SQLite compares and changes documents only as texts. Compare their parts:"
    " Memory.metadata_['type'].as_string() == 'decision' works on both databases. Change a document in Python:"
    " memory.metadata_['type'] = 'decision'."
)
_LISTS_ADVICE = (
    "SQLite has no operator for lists except for equality. Memory.tags.contains(['a']) works on both databases. Change"
    " a list in Python: memory.tags.append('a')."
)


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
    # A text that is not JSON comes from early agents; such a list cannot be searched there. As on PostgreSQL, NULL in a
    # list equals nothing, and nothing is known about NULL instead of a list.
    return (
        f"(CASE WHEN {column} IS NULL OR {value} IS NULL THEN NULL WHEN json_valid({column}) THEN NOT EXISTS"
        f" (SELECT 1 FROM json_each({value}) AS wanted WHERE wanted.value IS NULL OR wanted.value NOT IN"
        f" (SELECT held.value FROM json_each({column}) AS held WHERE held.value IS NOT NULL)) ELSE 0 END)"
    )


class _Readable(FunctionElement[Any]):
    """A document whose part is read; NULL on SQLite if it is not JSON, where one such row would stop the query.

    Args:
        document: The document.
    """

    inherit_cache = True

    def __init__(self, document: ColumnElement[Any]) -> None:
        super().__init__(document)
        self.type = document.type


@compiles(_Readable)
def _document(element: _Readable, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(_Readable, "sqlite")
def _document_that_is_json(element: _Readable, compiler: Any, **options: Any) -> str:
    document = compiler.process(element.clauses, **options)
    return f"CASE WHEN json_valid({document}) THEN {document} END"


class Document(TypeDecorator[Any]):
    """A JSON document: jsonb on PostgreSQL, JSON as text on SQLite.

    A value can be any JSON, because the database does not restrict a document to one type. SQLite text that is not JSON
    is returned unchanged. None is SQL NULL; ``sqlalchemy.JSON.NULL`` writes the JSON value null. The models track
    changes inside a document, at any depth.

    Args:
        sqlite: The declared type on SQLite.

    Raises:
        TypeError: JSON does not have a part of the document, such as a set, or a key that is no text.
        ValueError: One of the databases would refuse or change a part: NaN, half of a surrogate pair, a NUL character,
            a whole number beyond eight bytes. SQLAlchemy wraps both errors as ``StatementError``.
    """

    impl = JSON
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[Any], JSON.Comparator[Any]):
        """The comparisons of a document.

        SQLite refuses those that it would apply to the text of the document (CompileError).
        """

        def operate(self, op: OperatorType, *other: Any, **options: Any) -> ColumnElement[Any]:
            of_part = getattr(self.expr, "operator", None) in _PARTS
            if op in _PARTS and not of_part and not isinstance(self.expr, _Readable):
                return _Readable(self.expr).comparator.operate(op, *other, **options)
            allowed = _OF_PARTS if of_part else _OF_DOCUMENTS
            return _on_both(op, super().operate(op, *other, **options), allowed, _DOCUMENTS_ADVICE)

        def reverse_operate(self, op: OperatorType, other: Any, **options: Any) -> ColumnElement[Any]:
            made = super().reverse_operate(op, other, **options)
            return _on_both(op, made, _OF_DOCUMENTS, _DOCUMENTS_ADVICE)

        def contains(self, other: Any, **_: Any) -> ColumnElement[bool]:
            """Return whether a document contains another one, at every depth; PostgreSQL only.

            Raises:
                CompileError: The statement is compiled for SQLite, which would find nothing.
            """
            return _HasAll(self.expr, literal(other, self.type))

    comparator_factory = Comparator
    place = ""
    """The name of its column for messages; empty for a document of no column."""

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
        if op in _WITH_DOCUMENTS or isinstance(value, dict):
            return self
        return self.impl_instance.coerce_compared_value(op, value)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None or value is JSON.NULL:
            return "null" if value is JSON.NULL and dialect.name == "sqlite" else value
        refuse_unkeepable(value, self.place or "The document")
        return _write_json(value) if dialect.name == "sqlite" else value

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


def name_documents(table: Table) -> None:
    """Tell the documents of a table the names of their columns, for messages."""
    for column in table.columns:
        if isinstance(column.type, Document):
            column.type.place = f"{table.name}.{column.name}"


class TextArray(TypeDecorator[list[str]]):
    """A list of short texts: varchar(255)[] on PostgreSQL, a JSON list as text on SQLite.

    SQLite text that is not a JSON list is read as comma-separated names, the format of early agent releases.

    Raises:
        TypeError: The value is no list of texts.
        ValueError: A text is longer than 255 characters, or has a NUL character. SQLAlchemy wraps both errors as
            ``StatementError``.
    """

    impl = ARRAY
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[list[str]], ARRAY.Comparator[list[str]]):
        """The comparisons of a list. SQLite refuses all but equality and `contains` (CompileError)."""

        def operate(self, op: OperatorType, *other: Any, **options: Any) -> ColumnElement[Any]:
            if op in _OF_ELEMENTS:
                # The compiler knows ANY and ALL only where they stand alone on their side of a comparison.
                held = (
                    self.expr
                    if isinstance(self.expr, OnPostgresql)
                    else OnPostgresql(self.expr, _LISTS_ADVICE)
                )
                return _OF_ELEMENTS[op](held)
            return _on_both(op, super().operate(op, *other, **options), _OF_LISTS, _LISTS_ADVICE)

        def reverse_operate(self, op: OperatorType, other: Any, **options: Any) -> ColumnElement[Any]:
            return _on_both(op, super().reverse_operate(op, other, **options), _OF_LISTS, _LISTS_ADVICE)

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

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> Any:
        return self.impl_instance.coerce_compared_value(op, value) if op is operators.getitem else self

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
            given = "one text" if isinstance(value, str) else type(value).__name__
            raise TypeError(f"A text array takes a list of texts, not {given}.")
        texts = _checked(list(value))
        return _write_json(texts) if dialect.name == "sqlite" else texts

    def process_result_value(self, value: Any, dialect: Dialect) -> list[str] | None:
        return _read_texts(value) if isinstance(value, str) else value


def _checked(texts: list[Any]) -> list[str]:
    # The statement casts to varchar(255)[], and an explicit cast truncates silently.
    for place, each in enumerate(texts):
        if each is not None and not isinstance(each, str):
            raise TypeError(f"A text array takes a list of texts, and its element {place} is not a text.")
        storable(each, LENGTH)
    return texts


def _read_texts(text: str) -> list[Any] | None:
    content = _read_json(text)
    if content is None:
        return None
    if isinstance(content, list):
        return [item if item is None or isinstance(item, str) else _write_json(item) for item in content]
    return [name.strip() for name in text.split(",") if name.strip()]
