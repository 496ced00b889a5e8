"""The names of all objects that a step creates and removes again: an interrupted run leaves them to the next one.

Dropping one of them by hand loses values, so nothing may report one as a difference from the schema.
"""

from __future__ import annotations

from diwa_schema.names import OURS, cut

# The triggers that note writes to a column while its successor is filled; their function and table begin with the name.
NOTE, NOTE_UPDATE = f"{OURS}note", f"{OURS}note_update"
# The progress of batches.
POSITION = f"{OURS}position"
# The table on which the server rewrites the definitions of indexes.
PROBE = f"{OURS}probe"

_EMBEDDING = "embedding"
_RETYPED = "_retyped"
_RESHAPED = "_reshaped"
_NOT_NULL = "_not_null"


def retyped(name: str) -> str:
    """Return the name of the successor of a column or an index before the swap."""
    return cut(name, suffix=_RETYPED)


def reshaped(table: str) -> str:
    """Return the name of the copy of an SQLite table before it takes the table's name."""
    return cut(table, suffix=_RESHAPED)


def not_null(column: str) -> str:
    """Return the name of the check that precedes a NOT NULL."""
    return cut(f"{OURS}{column}", suffix=_NOT_NULL)


def keys_beside(table: str, context: str, column: str) -> tuple[str, str]:
    """Return the names of the new and of the old foreign key to contexts beside the one with the final name."""
    return f"{table}_{context}_{column}_fkey", f"{table}_{context}_alone_fkey"


def is_temporary(kind: str, table: str, name: str) -> bool:
    """Return whether only a step in progress has an object of that kind and name on a table."""
    match kind:
        case "trigger":
            return name in (NOTE, NOTE_UPDATE)
        case "column":
            return name == retyped(_EMBEDDING)
        case "index":
            return name.endswith(_RETYPED)
        case "check":
            return name.startswith(OURS) and name.endswith(_NOT_NULL)
        case "foreign key":
            return name in keys_beside(table, "context_id", "organization_id")
    return False
