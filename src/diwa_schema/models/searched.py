"""The word index of memories on SQLite, as SQL; PostgreSQL has a column instead.

FTS5 identifies a row by a number. SQLite's own number of a memory changes with VACUUM and in a copy of the table, so a
table of keys holds a permanent number. FTS5 stores a copy of the text: without the copy, a row replaced by `INSERT OR
REPLACE` would leave words in the index that cannot be removed any more.

A build of SQLite without FTS5 gets two plain tables with these names, which stay empty. A query reads the same names in
both cases, and without keys it searches the memories themselves.
"""

from __future__ import annotations

from diwa_schema.names import OURS, quoted

TABLE = "memories"
WORDS = f"{OURS}words"
KEYS = f"{OURS}word_keys"
TABLES = (WORDS, KEYS)
"""Both tables, in the order in which they are dropped."""

MODULE = "fts5"

# A connection that does not trust its schema (PRAGMA trusted_schema, or a build option) does not let triggers write to
# a virtual table: such a trigger would block every write of a memory there.
_POSSIBLE = (
    f"SELECT EXISTS (SELECT 1 FROM pragma_module_list WHERE name = '{MODULE}')"
    " AND (SELECT trusted_schema FROM pragma_trusted_schema)"
)

_KEYS = f"CREATE TABLE {KEYS} (n INTEGER PRIMARY KEY, memory_id TEXT NOT NULL UNIQUE)"
# English endings are stripped for the search, as on PostgreSQL.
_WORDS = f"CREATE VIRTUAL TABLE {WORDS} USING {MODULE}(content, tokenize='porter unicode61')"
# Named like the columns that FTS5 adds: the whole row, and its rank.
_PLAIN = f"CREATE TABLE {WORDS} (content TEXT, {WORDS} TEXT, rank REAL)"


def is_possible() -> str:
    """Return a query that checks whether this SQLite has FTS5 and lets triggers write to it."""
    return _POSSIBLE


def _forget(row: str) -> str:
    number = f"(SELECT n FROM {KEYS} WHERE memory_id = {row}.id)"
    return f"DELETE FROM {WORDS} WHERE rowid = {number}; DELETE FROM {KEYS} WHERE memory_id = {row}.id;"


def _trigger(what: str, moment: str, body: str) -> str:
    name = quoted(f"{TABLE}_words_{what}")
    return f"CREATE TRIGGER {name} AFTER {moment} ON {quoted(TABLE)} BEGIN {body} END"


# Nobody could load a memory without an id.
_LEARN = (
    f"INSERT INTO {KEYS} (memory_id) SELECT NEW.id WHERE NEW.id IS NOT NULL;"
    f" INSERT INTO {WORDS} (rowid, content) SELECT n, NEW.content FROM {KEYS} WHERE memory_id = NEW.id;"
)

TRIGGERS = {
    f"{TABLE}_words_{what}": _trigger(what, moment, body)
    for what, moment, body in (
        ("added", "INSERT", f"{_forget('NEW')} {_LEARN}"),
        ("changed", "UPDATE OF id, content", f"{_forget('OLD')} {_forget('NEW')} {_LEARN}"),
        ("dropped", "DELETE", _forget("OLD")),
    )
}
"""What creates the triggers that keep both tables in step with the memories, by their names."""


def create(*, possible: bool) -> tuple[str, ...]:
    """Return the SQL that creates the tables and the triggers that fill them.

    Args:
        possible: Whether this build of SQLite has FTS5; otherwise the tables are plain and stay empty.
    """
    return (_KEYS, _WORDS, *TRIGGERS.values()) if possible else (_KEYS, _PLAIN)


def fill() -> tuple[str, ...]:
    """Return the SQL that rebuilds the index from the words of all memories."""
    kept = f"SELECT k.n, m.content FROM {KEYS} k JOIN {TABLE} m ON m.id = k.memory_id ORDER BY k.n"
    return (
        f"DELETE FROM {WORDS}",
        f"DELETE FROM {KEYS}",
        f"INSERT INTO {KEYS} (memory_id) SELECT id FROM {TABLE} WHERE id IS NOT NULL ORDER BY id",
        f"INSERT INTO {WORDS} (rowid, content) {kept}",
    )


def drop() -> tuple[str, ...]:
    """Return the SQL that drops all of these objects, if they exist."""
    return (
        *(f"DROP TRIGGER IF EXISTS {quoted(name)}" for name in TRIGGERS),
        *(f"DROP TABLE IF EXISTS {name}" for name in TABLES),
    )


def without(script: str) -> str:
    """Return a schema script in a form for a build of SQLite without FTS5."""
    for statement in TRIGGERS.values():
        script = script.replace(f"{statement};\n", "")
    return script.replace(_WORDS, _PLAIN)


def is_shadow(name: str) -> bool:
    """Return whether FTS5 created a table for its own use."""
    return name.startswith(f"{WORDS}_")
