"""The rows of an Ecto database: full ones and bare ones for each table, and the odd values that are in the field."""

from __future__ import annotations

import json
import struct
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tests.kit.writer import Column, Dialect

Row = dict[str, Any]
FULL = 3  # rows of a table in which every column has a value
# Their models keep microseconds and a zone, whatever the column is; on SQLite nothing rounds them.
WRITES_MICROSECONDS = ("contexts", "memories", "plans", "tasks", "hitl_escalations")
WORDS = {
    "status": "pending",
    "tasks.priority": "High",
    "memories.priority": "high",
    "memory_class": "observation",
    "lifecycle": "project",
    "memories.severity": "high",
    "capabilities": '["code"]',
    "artifacts": '["a.txt"]',
    "constraints": '{"max": 1}',
    "plans.status": "Planning",
    "operation": "create",
    "sync_queue.type": "memory",
    "tier": "free",
    "sync_origin": "local",
    "orphan_review_logs.action": "commit",
    "context_relationships.relationship_type": "depends_on",
}

DOCUMENTS = {
    "conflict_performance.resolutions": '[{"result": "rejected", "n": 1}]',
    "orphan_review_logs.metadata": '{"reason": "stale"}',
}


def key(table: str, number: int) -> str:
    """Return the id of a row."""
    return str(uuid5(NAMESPACE_URL, f"{table}/{number}"))


def odd(table: str, dialect: Dialect) -> list[Row]:
    """Return rows that say only what is odd about them; what a row must have besides is filled in."""
    rows = ODD.get(table, [])
    if table == "conflict_performance" and dialect == "sqlite":
        # Ecto's adapter encodes a list of documents twice there.
        return [{"resolutions": json.dumps([json.dumps({"result": "accepted", "score": 0.5})])}]
    return rows


# In every database. Times of .77 seconds show who rounds; documents are written as the text that they are.
ODD: dict[str, list[Row]] = {
    "organizations": [{"name": "Ünïcode GmbH 🌊"}, {"name": "Default", "tier": None}],
    "contexts": [{"name": 'it\'s "quoted"; -- \\', "health_score": None, "conflict_auto_calibrate": False}],
    "memories": [
        {"content": "", "tags": [], "metadata": "{}"},
        {
            "content": "tabs\tand\nlines",
            "tags": ["a, b", 'say "x"', "ö"],
            "metadata": '{"größe": [1, null, {"t": true}]}',
        },
        {
            "content": "deleted",
            "deleted_at": "2026-02-03 04:05:06.123456",
            "parent_id": key("memories", 0),
            "context_id": key("contexts", 0),
        },
        {
            "content": "of one side only",
            "metadata": '{"severity": "Critical"}',
            "sync_origin": None,
            "confidence": 0.1,
        },
        {"content": "no more " * 200, "occurrence_count": None, "expires_at": "1999-12-31 23:59:59.999999"},
    ],
    "memory_versions": [
        {
            "operation": "rollback",
            "version_number": 1,
            "memory_id": key("memories", 0),
            "tags": None,
            "metadata": None,
        },
        {"operation": "update", "version_number": 1, "memory_id": key("memories", 0), "reason": "r" * 400},
        {"operation": "restore", "parent_version_id": key("memory_versions", 0)},
    ],
    "usage_records": [{"cost_estimate": "0.000001", "duration_ms": None}, {"cost_estimate": "9999.999999"}],
    "secrets": [
        {"key": "bytes", "value_encrypted": bytes(range(256))},
        {"key": "none", "value_encrypted": b""},
    ],
    "agents": [{"capabilities": '["code", "test"]', "context_id": None}, {"status": None}],
    "delegations": [{"artifacts": '["a.txt"]', "constraints": '{"max": 3}', "to_agent_id": None}],
    "context_registry": [{"context_id": None, "platform_ref": '{"url": "https://example.org/?a=1&b=%25"}'}],
    "context_commits": [{"context_id": None, "message": None, "signature": "s" * 500}],
    "sessions": [
        {"ended_at": None, "metadata": "null", "actor": "someone", "started_at": "2026-01-02 00:00:00.5"}
    ],
    "sync_queue": [{"payload": '{"id": 9007199254740993}', "scheduled_at": None, "priority": -1}],
    "tala_operations": [
        {"status": "committed", "actor": None, "context_id": key("contexts", 0), "tool_name": "tool"},
        {
            "status": None,
            "params": '{"n": [1.5e300]}',
            "context_id": key("contexts", 1),
            "tool_name": "tool",
        },
    ],
    "embedding_cache": [{"model": "other", "expires_at": None}],
    "messages": [{"id": "msg-1", "panel_id": None, "role": None}],
    "panels": [{"id": "panel/ü", "workspace_id": None, "position": 0}],
    "checkpoints": [{"buffer_snapshot": "[1, 2]", "checksum": "f" * 64, "sequence_number": 99}],
    "conflict_performance": [{"resolutions": '[{"result": "accepted"}]'}],
    "workspaces": [{"ide_panel_order": []}],
    "shortcut_aliases": [{"args_schema": ["query", "limit"]}],
}
# In the one that is called dirty: what no constraint keeps out.
DIRTY: dict[str, list[Row]] = {
    "organizations": [{"name": "Default", "slug": None}, {"name": "Shouting", "slug": "Not A Slug!"}],
    "contexts": [
        {"name": "twin", "organization_id": key("organizations", 0), "health_score": -7},
        {"name": "twin", "organization_id": key("organizations", 0), "health_score": 123456},
    ],
    "plans": [{"context_id": key("contexts", 0), "completion_pct": 250}],
    "tasks": [{"priority": "urgent", "status": "someday"}, {"priority": None, "status": None}],
    "memories": [
        {"content": "a list", "metadata": "[1, 2]", "embedding": [0.0] * 1536},
        {"content": "its own parent", "id": key("loop", 0), "parent_id": key("loop", 0), "metadata": "null"},
        {"content": "parent elsewhere", "context_id": key("contexts", 1), "parent_id": key("memories", 0)},
        {"content": "one", "remote_id": key("remote", 0)},
        {"content": "same", "remote_id": key("remote", 0)},
    ],
    "memory_versions": [{"version_number": None, "parent_version_id": key("nowhere", 0), "operation": "?"}],
    "context_relationships": [
        {"source_context_id": key("contexts", 0), "target_context_id": key("contexts", 0)},
        {
            "source_context_id": key("contexts", 2),
            "target_context_id": key("contexts", 0),
            "relationship_type": "cycles",
        },
    ],
    "context_bindings": [
        {"context_id": key("contexts", 0), "binding_type": "path", "value": "/srv"},
        {"context_id": key("contexts", 1), "binding_type": "path", "value": "/srv"},
    ],
    "context_commits": [{"hash": "same", "context_id": None}, {"hash": "same", "context_id": None}],
    "hitl_escalations": [{"status": "whatever", "score": -3.5}],
    "agents": [{"capabilities": "code, test"}],
    "delegations": [{"constraints": "", "artifacts": ""}],
    "sessions": [
        {"actor": None, "started_at": None},
        {"started_at": "2026-01-02 00:00:00.5", "ended_at": "2026-01-01 00:00:00"},
    ],
    "sync_queue": [{"type": "unknown", "status": None, "payload": "5"}],
    "tala_operations": [{"session_id": "session one", "context_id": "", "params": "[]"}],
    "orphan_review_logs": [
        {"session_id": key("nowhere", 1), "context_id": key("nowhere", 2), "metadata": '"x"'}
    ],
    "conflict_performance": [{"resolutions": '{"a": 1}'}],
    "usage_records": [{"tokens_input": 1, "tokens_output": 1, "total_tokens": 5}],
    "api_keys": [{"status": None, "expires_at": "2001-01-01 00:00:00"}],
}


def rows_of(table: str, columns: list[Column], dialect: Dialect, *, dirty: bool) -> list[Row]:
    """Return the rows of a table, each value as the driver wants it; embeddings are lists of numbers still."""
    has = {column.name: column for column in columns}
    asked: list[tuple[Row, bool]] = [({}, True)] * FULL
    asked += [(row, False) for row in [*odd(table, dialect), *(DIRTY.get(table, []) if dirty else [])]]
    made = []
    for number, (given, full) in enumerate(asked):
        row: Row = {}
        for column in columns:
            if column.name in given:
                row[column.name] = given[column.name]
            elif column.type != "tsvector" and (full or (column.required and column.default is None)):
                row[column.name] = _value(table, column, number)
        # Ids are uuids in the agent's own table, and text in the shared one of that name.
        row = {
            name: key(table, number) if has[name].type == "uuid" and not _is_uuid(value) else value
            for name, value in row.items()
        }
        made.append({name: bound(table, has[name], value, dialect) for name, value in row.items()})
    return made


def _is_uuid(value: Any) -> bool:
    return value is None or (isinstance(value, str) and len(value) == 36)


def _value(table: str, column: Column, number: int) -> Any:
    name, kind = column.name, column.type
    if name == "id" or column.refers:
        return _key(table, column, number)
    if kind == "string" and name.endswith("_id"):
        return key(name, number)
    if kind in ("seconds", "micros"):
        return f"2026-01-{number + 10} 11:22:33" + ("" if kind == "seconds" else f".{77 + number}")
    # As many tokens came in as went out.
    special = {**DOCUMENTS, "organizations.slug": f"slug-{number}", "usage_records.total_tokens": 2 * number}
    if f"{table}.{name}" in special:
        return special[f"{table}.{name}"]
    text = WORDS.get(f"{table}.{name}", WORDS.get(name, f"{name} {number}"))
    return {
        "uuid": key(name, number),
        "string": text,
        "string(64)": text,
        "text": text,
        "map": json.dumps({"n": number, "nested": [name]}),
        "jsonb": json.dumps([number, {"key": name}]),
        "strings": [f"{name} {number}", "two, words"],
        "binary": bytes((0, 255, number)),
        "boolean": number % 2 == 0,
        "integer": number,
        "float": number + 0.25,
        "decimal(10,6)": "0.123456",
        "embedding": [number + 0.5, *(round(position / 3000 - 0.25, 6) for position in range(1535))],
    }[kind]


def _key(table: str, column: Column, number: int) -> str | None:
    if column.refers is None:
        return key(table, number)
    if column.refers == table:
        return key(table, number - 1) if number else None
    if table == "memories" and column.refers == "contexts" and number < FULL:
        return key("contexts", 0)  # they continue one another
    # Rows are spread over those that they may belong to; the two ends of a link are never the same one.
    shift = 1 if column.name.startswith(("target", "to_")) else 0
    once = table in ("conflict_performance", "memory_checksums")
    return key(column.refers, number if once else (number + shift) % FULL)


def bound(table: str, column: Column, value: Any, dialect: Dialect) -> Any:
    """Return a value in the form in which Ecto's adapter stores it."""
    # The agent's first tables keep text where others have lists, and less of it.
    if column.type in ("string", "text") and isinstance(value, list):
        value = json.dumps(value, ensure_ascii=False)
    if column.type == "string" and value is not None:
        value = value[:255]
    if value is None or dialect == "postgresql":
        return value
    if column.type in ("seconds", "micros"):
        second, _, fraction = value.replace(" ", "T").partition(".")
        precise = column.type == "micros" or table in WRITES_MICROSECONDS
        return f"{second}.{fraction:0<6}Z" if precise else second
    if column.type == "strings":
        return json.dumps(value, ensure_ascii=False)
    return int(value) if column.type == "boolean" else value


def term(numbers: list[float]) -> bytes:
    """Return numbers as Erlang writes a list of them: version, list, count, a tag and eight bytes each, end."""
    written = (struct.pack(">Bd", 70, number) for number in numbers)
    return b"\x83l" + struct.pack(">I", len(numbers)) + b"".join(written) + b"j"
