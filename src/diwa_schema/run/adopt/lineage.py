"""Rebuilding a database of the agent's first lineage, so that it is at a revision of this history.

Its tables are set aside unchanged. Their rows are copied into tables of today's shape; a value that the new column
cannot hold stays in the old table and is listed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from alembic import op

from diwa_schema.database import ledger
from diwa_schema.migrations.manifest import load
from diwa_schema.migrations.revisions import load as load_module
from diwa_schema.migrations.steps import aside
from diwa_schema.migrations.steps.lookup import column_types
from diwa_schema.names import quoted
from diwa_schema.run.adopt.variants import V1_REVISION

if TYPE_CHECKING:
    from diwa_schema.run.session import Look

# In the order of their foreign keys.
TABLES = (
    "organizations",
    "contexts",
    "memories",
    "memory_versions",
    "plans",
    "tasks",
    "sessions",
    "ingest_jobs",
    "agents",
    "delegations",
    "shortcut_aliases",
)
_LONGEST_TEXT = 255


class _UnfitError(ValueError):
    """A value that does not fit into the new column."""


@dataclass(slots=True)
class Rebuild:
    """A rebuild inside the open transaction of an adoption.

    Args:
        look: The earlier state of the database, on the connection of the transaction.
        unfit: The values that stayed in the kept tables, a line each.
    """

    look: Look
    unfit: list[str] = field(default_factory=list)
    _organization: str | None = None

    def run(self) -> None:
        """Set the old tables aside, create the new ones with their revisions, and copy the rows.

        References of all tables to the old tables lead to the new ones afterwards.
        """
        others = aside.others(TABLES)
        for table in TABLES:
            aside.set_aside(table)
        for step in load().until(V1_REVISION):
            load_module(step).upgrade()
        for table in TABLES:
            self._copy(table)
        self._set_parents()
        others.follow()

    def _copy(self, table: str) -> None:
        """Copy the rows inside the database, which keeps types; only values that need a change pass through Python."""
        kept = aside.kept_name(table)
        old, new = (column_types(op.get_bind(), name) for name in (kept, table))
        names = [name for name in old if name in new]
        fitted = [name for name in names if (table, name) in _FITTED and not old[name].endswith("[]")]
        plain = [name for name in names if name not in fitted]
        marks = [
            "%s" if self.look.link.dialect == "sqlite" else f"CAST(%s AS {new[name]})" for name in fitted
        ]
        insert = (
            f"INSERT INTO {quoted(table)} ({', '.join(map(quoted, plain + fitted))})"
            f" SELECT {', '.join([*map(quoted, plain), *marks])} FROM {quoted(kept)}"
        )
        if not fitted:
            self.look.link.execute(insert)
            return
        read = ", ".join(f"CAST({quoted(name)} AS text)" for name in fitted)
        # SQLite has rows without an id: it takes NULL in a primary key that is a text.
        key = "rowid" if self.look.link.dialect == "sqlite" else "id"
        for place, row, *values in self.look.link.rows(f"SELECT {key}, id, {read} FROM {quoted(kept)}"):
            fits = [self._fitted(table, name, value, row) for name, value in zip(fitted, values, strict=True)]
            self.look.link.execute(f"{insert} WHERE {key} = %s", [*fits, place])

    def _fitted(self, table: str, name: str, value: str | None, row: Any) -> Any:
        if (table, name) == _ORGANIZATION:
            if value is not None:
                return value
            self.unfit.append(f"contexts {row}: had no organization, now that of '{_DEFAULT}'")
            return self._default_organization()
        if (table, name) == _PARENT:
            return None  # set after the insertion of all memories
        fit = _FITS[table, name]
        try:
            return fit(value, self.look.link.dialect)
        except _UnfitError:
            self.unfit.append(f"{table} {row}: {name} stays in {aside.kept_name(table)}")
            return fit(None, self.look.link.dialect)

    def _default_organization(self) -> str:
        if self._organization is None:
            self._organization = str(uuid4())
            moment = ledger.now()[:19]
            self.look.link.execute(
                "INSERT INTO organizations (id, name, inserted_at, updated_at) VALUES (%s, %s, %s, %s)",
                (self._organization, _DEFAULT, moment, moment),
            )
        return self._organization

    def _set_parents(self) -> None:
        kept = aside.kept_name("memories")
        for child, parent in self.look.link.rows(
            f"SELECT id, parent_id FROM {kept} WHERE parent_id IS NOT NULL"
        ):
            if child is None:
                self.unfit.append(f"memories {child}: parent_id stays in {kept}")
            else:
                self.look.link.execute("UPDATE memories SET parent_id = %s WHERE id = %s", (parent, child))


# The agent's own name for the organization of contexts without one.
_DEFAULT = "Default"


def _texts(value: str | None, dialect: str) -> Any:
    """Return tags from a JSON list or a text with commas as a list of texts."""
    found = list(_split(value))
    if any(len(text) > _LONGEST_TEXT for text in found):
        raise _UnfitError
    return json.dumps(found, ensure_ascii=False) if dialect == "sqlite" else found


def _split(value: str | None) -> Iterator[str]:
    if not value:
        return
    if not value.lstrip().startswith(("[", "{")):
        yield from (text.strip() for text in value.split(",") if text.strip())
        return
    listed = _json(value)
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise _UnfitError
    yield from listed


def _document(value: str | None, _: str) -> Any:
    """Return metadata as a JSON text."""
    if not value:
        return "{}"
    _json(value)
    return value


def _json(text: str) -> Any:
    if "\\u0000" in text:  # jsonb has no such character
        raise _UnfitError
    try:
        return json.loads(text)
    except ValueError as error:
        raise _UnfitError from error


def _operation(value: str | None, _: str) -> str:
    return value or "update"


_FITS: dict[tuple[str, str], Callable[[Any, str], Any]] = {
    ("memories", "tags"): _texts,
    ("memories", "metadata"): _document,
    ("memory_versions", "tags"): _texts,
    ("memory_versions", "metadata"): _document,
    ("memory_versions", "operation"): _operation,
    ("shortcut_aliases", "args_schema"): _texts,
}
_ORGANIZATION, _PARENT = ("contexts", "organization_id"), ("memories", "parent_id")
_FITTED = {*_FITS, _ORGANIZATION, _PARENT}
