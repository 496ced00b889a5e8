"""Rows that the models write are what the exported JSON Schema says, and what it forbids is refused."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from diwa_schema.export import export
from diwa_schema.export.description import describe
from diwa_schema.models import Base, Task
from tests.models.rows import _value, attributes, mappers, new_row, store

jsonschema = pytest.importorskip("jsonschema", reason="the dependency group `test` has it")

DOCUMENT = json.loads(export("json-schema")["schema.json"])
TABLES = {table.name: table for table in describe()}
MODELS = {table.model: table for table in describe()}


def validator(definition: str) -> Any:
    return jsonschema.Draft202012Validator(
        {"$ref": f"#/$defs/{definition}", "$defs": DOCUMENT["$defs"]},
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )


def refusals(definition: str, row: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message[:100]}" for error in validator(definition).iter_errors(row)]


def as_json(value: Any) -> Any:
    """A value of a row as the document says it: times of ISO 8601, decimal texts, base64."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def least(model: Any) -> dict[str, Any]:
    """The document of a row that is NULL wherever its table lets it be."""
    (*_, row) = full(model)
    whole = document_of(row)
    return {column.name: None if column.nullable else whole[column.name] for _, column in attributes(row)}


def document_of(row: Any) -> dict[str, Any]:
    return {column.name: as_json(getattr(row, key)) for key, column in attributes(row)}


def full(model: Any) -> list[Any]:
    """A row with a value in every column that refers to nothing, after the rows that it needs."""
    rows = new_row(model)
    words = {column.attribute: column for column in TABLES[model.__tablename__].columns}
    for key, column in attributes(rows[-1]):
        known = words[key]
        if known.values:
            setattr(rows[-1], key, known.values[0])
        if getattr(rows[-1], key) is not None or column.foreign_keys or known.kind == "search":
            continue
        made: dict[str, Any] = {
            "uuid": str(uuid4()),
            "float": 0.5,
            "boolean": True,
            "decimal": Decimal("0.25"),
            "strings": ["ä", "b"],
        }
        setattr(rows[-1], key, made.get(known.kind, _value(column)))
    if hasattr(rows[-1], "total_tokens"):
        rows[-1].total_tokens = rows[-1].tokens_input + rows[-1].tokens_output
    return rows


@pytest.mark.usefixtures("owner_directory")
def test_rows_of_all_tables_are_valid(database):
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    Base.metadata.create_all(engine)
    seen = set()
    with Session(engine, expire_on_commit=True) as session:
        for model in [mapper.class_ for mapper in mappers()]:
            bare, filled = new_row(model), full(model)
            store(session, *bare, *filled)
            for row in (bare[-1], filled[-1]):
                document = document_of(row)
                assert refusals(model.__name__, json.loads(json.dumps(document))) == [], model.__name__
                seen.add(model.__tablename__)
            # The same values may be written, except for what the database makes by itself.
            document = {
                name: value for name, value in document_of(filled[-1]).items() if name != "tsv_content"
            }
            assert refusals(f"New{model.__name__}", document) == [], model.__name__
    engine.dispose()
    assert seen == set(TABLES)


def test_the_document_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(DOCUMENT)
    assert set(DOCUMENT["$defs"]) == {name for model in MODELS for name in (model, f"New{model}")}


def test_every_column_is_in_it_with_its_meaning():
    for table in describe():
        properties = DOCUMENT["$defs"][table.model]["properties"]
        assert list(properties) == [column.name for column in table.columns]
        for column in table.columns:
            assert properties[column.name]["description"].startswith(column.meaning)


MEMORY = {"context_id": "6c84fb90-12c4-11e1-840d-7b25c5ee775a", "content": "x"}


@pytest.mark.parametrize(
    "row",
    [
        {"content": "x"},
        {**MEMORY, "content": None},
        {**MEMORY, "context_id": "no uuid"},
        {**MEMORY, "priority": "High"},
        {**MEMORY, "actor": "a" * 256},
        {**MEMORY, "tags": ["a" * 256]},
        {**MEMORY, "tags": "a"},
        {**MEMORY, "metadata_": {}},
        {**MEMORY, "tsv_content": "x"},
        {**MEMORY, "occurrence_count": 2**31},
    ],
)
def test_what_cannot_be_written_is_refused(row):
    assert refusals("NewMemory", MEMORY) == []
    assert refusals("NewMemory", row)


def test_a_row_that_is_read_may_hold_any_word():
    """No constraint keeps a row to the words; an application that refused to read it would be worse off."""
    row = least(Task) | {
        "id": MEMORY["context_id"],
        "context_id": MEMORY["context_id"],
        "title": "t",
        "priority": "urgent",
        "status": "someday",
        "inserted_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    }
    assert refusals("Task", row) == []
    assert refusals("Task", {**row, "priority": 5})
    assert refusals("Task", {name: value for name, value in row.items() if name != "title"})
