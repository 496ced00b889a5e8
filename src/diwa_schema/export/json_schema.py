"""Rows as JSON Schema (2020-12): for each model one schema for reading a row and one for writing it.

A row that is read may contain any text, because it may be older than the restriction of its column; a row to write may
not. Rows to write go through the models, which generate omitted keys and times. A time is an ISO 8601 text, an amount
is a text, bytes are base64, and an embedding is a list of numbers.
"""

from __future__ import annotations

import json
from typing import Any

from diwa_schema.export.description import Column, Kind, Table, describe
from diwa_schema.export.dictionary import sentence

_BASE64: dict[str, Any] = {"type": "string", "contentEncoding": "base64"}
_TYPES: dict[Kind, dict[str, Any]] = {
    "uuid": {"type": "string", "format": "uuid"},
    "string": {"type": "string"},
    "text": {"type": "string"},
    "integer": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "float": {"type": "number"},
    "boolean": {"type": "boolean"},
    "decimal": {"type": "string", "pattern": r"^-?\d{1,4}(\.\d{1,6})?$"},
    "bytes": _BASE64,
    "document": {},
    "strings": {"type": "array", "items": {"type": "string"}},
    "time": {"type": "string", "format": "date-time"},
    "embedding": {"anyOf": [{"type": "array", "items": {"type": "number"}}, _BASE64]},
    "search": {"type": "string", "readOnly": True},
}


def export() -> dict[str, str]:
    """Return one document that defines each model and each row to write: `Memory`, `NewMemory`."""
    definitions: dict[str, Any] = {}
    for table in describe():
        definitions[table.model] = _read(table)
        definitions[f"New{table.model}"] = _new(table)
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "diwa-schema",
        "$defs": definitions,
    }
    return {"schema.json": json.dumps(document, indent=2, ensure_ascii=False) + "\n"}


def _read(table: Table) -> dict[str, Any]:
    # The search words exist only on PostgreSQL, and are read only on request.
    always = [column.name for column in table.columns if column.kind != "search"]
    properties = {column.name: _property(column, table, new=False) for column in table.columns}
    return _object(table, properties, always)


def _new(table: Table) -> dict[str, Any]:
    columns = [column for column in table.columns if column.kind != "search"]
    properties = {column.name: _property(column, table, new=True) for column in columns}
    required = [column.name for column in columns if column.required]
    return {**_object(table, properties, required), "additionalProperties": False}


def _object(table: Table, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": table.meaning,
        "properties": properties,
        **({"required": required} if required else {}),
    }


def _property(column: Column, table: Table, *, new: bool) -> dict[str, Any]:
    found = dict(_TYPES[column.kind])
    if new:
        found = _to_be_written(column, found)
    elif column.values:
        found["examples"] = list(column.values)
    if column.nullable and found:
        found = {"anyOf": [found, {"type": "null"}]}
    return {"description": sentence(column, table.writer), **found}


def _to_be_written(column: Column, found: dict[str, Any]) -> dict[str, Any]:
    if column.closed:
        found["enum"] = list(column.values)
    if column.length:
        found["maxLength"] = column.length
    if column.kind == "strings":
        found["items"] = {"type": "string", "maxLength": 255}
    if column.value is not None:
        found["default"] = column.value
    return found
