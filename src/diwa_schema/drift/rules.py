"""The rules about rows: enforced ones, waiting ones, and the rows that break one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from diwa_schema.database.relations import in_schema
from diwa_schema.drift.count import counted, deadline, seeing_all
from diwa_schema.errors import UsageError, command
from diwa_schema.migrations.manifest import load
from diwa_schema.migrations.renamed import as_named, renames
from diwa_schema.models.rule import Places, Rule, broken_by
from diwa_schema.models.rules import EVER_KEPT, KEPT, RULES

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.drift.model import Catalog, Index, Other

_NOT_VALID = " NOT VALID"
_LONGEST = 200  # displayed characters of a value

# Resolved before the lookup by name: other schemas have the same names, and the indexes serve both columns together.
_SCHEMA = "(SELECT oid FROM pg_namespace WHERE nspname = %s)"
_STANDING = (
    "SELECT t.relname::text, k.conname::text, k.convalidated FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid"
    f" WHERE k.connamespace = {_SCHEMA} AND k.contype = 'c' AND k.conname = ANY(%s::name[])"
    " UNION ALL SELECT t.relname::text, i.relname::text, x.indisvalid AND x.indisready FROM pg_index x"
    " JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid"
    f" WHERE i.relnamespace = {_SCHEMA} AND i.relname = ANY(%s::name[])"
)
_COLUMNS = {
    "postgresql": (
        "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid WHERE "
        + in_schema("(SELECT oid FROM pg_namespace WHERE nspname = coalesce(%s, current_schema()))")
        + " AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped"
    ),
    "sqlite": (
        "SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'"
        " AND m.sql NOT LIKE 'CREATE VIRTUAL %'"
    ),
}
_PGVECTOR = (
    "SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
    " WHERE e.extname = 'vector'"
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A rule that the database should enforce but does not, or not for all rows.

    Args:
        rule: Its name.
        table: Its table.
        state: ``absent``, or ``not validated`` if the database enforces it only for newly written rows.
        rows: The number of rows that break it; None if they could not be counted.
    """

    rule: str
    table: str
    state: Literal["absent", "not validated"]
    rows: int | None

    @property
    def text(self) -> str:
        """The state in one line of text."""
        verb = "waits" if self.state == "absent" else "is not validated"
        return f"rule {self.rule} on {self.table} {verb}: {self._rows}"

    @property
    def _rows(self) -> str:
        if self.rows is None:
            return "its rows could not be counted"
        return broken_by(self.rows) if self.rows else "no row breaks it any more"

    @property
    def next_step(self) -> str:
        """The command to run next."""
        return command(f"violations {self.rule}" if self.rows else f"validate {self.rule}")

    def as_dict(self) -> dict[str, Any]:
        """Return it as a document for ``--json``."""
        return {**asdict(self), "text": self.text}


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that breaks a rule.

    Args:
        key: Its primary key.
        values: The columns that the rule concerns; a longer text is cut after 200 characters.
        look: The statement that shows the row, together with the second row if the rule concerns two.
    """

    key: str
    values: dict[str, str | int | float | None]
    look: str


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule that rows break.

    Args:
        rule: Its name.
        table: Its table.
        why: The content and the source of the rule.
        kept: Whether the database should enforce it; other rules are only checked, on SQLite all.
        total: The number of rows that break it.
        rows: The first of these rows, in the order of their keys.
    """

    rule: str
    table: str
    why: str
    kept: bool
    total: int
    rows: tuple[BrokenRow, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as a document for ``--json``."""
        return asdict(self)


def tolerated(kind: str, found: Any, expected: Any) -> bool:
    """Return whether a difference is only a rule that waits or is not validated yet; `waiting` reports it."""
    if (
        kind not in ("other", "index")
        or expected is None
        or not any(r.name == expected.name for r in EVER_KEPT)
    ):
        return False
    one: Other | Index | None = found
    return one is None or (kind == "other" and one.definition == expected.definition + _NOT_VALID)  # type: ignore[union-attr]


def follows(table: str, name: str, columns: Collection[tuple[str, str]]) -> bool:
    """Return whether a rule's check differs only because one of its columns, named with its table, differs."""
    rule = next((rule for rule in EVER_KEPT if rule.name == name), None)
    return rule is not None and any(
        (table, name) in columns for column in rule.columns for name in load().names_of(table, column)
    )


def expected_in(catalog: Catalog) -> tuple[Rule, ...]:
    """Return the rules that a database with this catalog should enforce."""
    names = {one.name for table in catalog.tables for one in table.others}
    names |= {one.name for table in catalog.tables for one in table.indexes}
    return tuple(rule for rule in EVER_KEPT if rule.name in names)


def _as_named(link: Link, schema: str, rules: Sequence[Rule]) -> Sequence[Rule]:
    """Return rules with the present names of their columns; a history without a rename asks the database nothing."""
    if not renames():
        return rules
    types = _types(link, schema)
    return [as_named(rule, types.get(rule.table, ())) for rule in rules]


def _types(link: Link, schema: str) -> dict[str, dict[str, str]]:
    """Return the columns of each table with their types."""
    types: dict[str, dict[str, str]] = {}
    for table, column, kind in link.rows(
        _COLUMNS[link.dialect], () if link.dialect == "sqlite" else (schema,)
    ):
        types.setdefault(table, {})[column] = kind.partition("(")[0]
    return types


def waiting(link: Link, schema: str, rules: Sequence[Rule] = KEPT) -> tuple[Waiting, ...]:
    """Return the rules that a PostgreSQL database does not enforce for all rows, with their row counts.

    Only the tables of these rules are read. SQLite enforces none, so no rule waits there.
    """
    if link.dialect == "sqlite" or not rules:
        return ()
    names = [rule.name for rule in rules]
    found = link.rows(_STANDING, (schema, names, schema, names))
    standing = {(table, name): valid for table, name, valid in found}
    until, places = deadline(), Places(schema)
    return tuple(
        Waiting(
            rule.name,
            rule.table,
            "not validated" if (rule.table, rule.name) in standing else "absent",
            counted(link, rule.count(places), until),
        )
        for rule in _as_named(link, schema, rules)
        if not standing.get((rule.table, rule.name))
    )


def violations(link: Link, schema: str, rules: Sequence[Rule], limit: int) -> tuple[BrokenRule, ...]:
    """Return the broken rules and the rows that break them; nothing is written.

    Rules about columns that are absent or have another type are skipped.

    Args:
        link: The connection.
        schema: The schema of the tables.
        rules: The rules to check.
        limit: The maximum number of rows for each rule.
    """
    lite = link.dialect == "sqlite"
    types = _types(link, schema)
    places = Places(lite=True) if lite else Places(schema, link.value(_PGVECTOR))
    found = []
    for written in rules:
        rule = as_named(written, types.get(written.table, ()))
        if not _fits(rule, types.get(rule.table, {}), lite=lite):
            continue
        with seeing_all(link):
            rows = link.rows(
                f"SELECT broken.*, count(*) OVER () FROM ({rule.rows(places)}) AS broken ORDER BY 1 LIMIT %s",
                (limit,),
            )
        if rows:
            listed = tuple(_row(rule, places, row) for row in rows)
            kept = rule.kept and not lite
            found.append(BrokenRule(rule.name, rule.table, rule.said(places), kept, rows[0][-1], listed))
    return tuple(found)


def named(names: Iterable[str], among: Sequence[Rule] = RULES) -> tuple[Rule, ...]:
    """Return the rules with these names; all rules if no name is given.

    Raises:
        UsageError: No rule has one of the names.
    """
    known = {rule.name: rule for rule in among}
    for name in names:
        if name not in known:
            what = "a rule" if among is RULES else "a rule that the database keeps"
            raise UsageError(f"'{name}' is not {what}.", next_step=f"The rules are: {', '.join(known)}.")
    return tuple(known[name] for name in names) or tuple(among)


def _fits(rule: Rule, types: dict[str, str], *, lite: bool) -> bool:
    if not types.keys() >= {*rule.columns, "id"} or (rule.unique and "inserted_at" not in types):
        return False
    return not rule.postgresql_only if lite else rule.type in ("", types[rule.columns[0]])


def _row(rule: Rule, places: Places, row: tuple[Any, ...]) -> BrokenRow:
    key, first, *values, _ = row
    texts = [None if one is None else str(one) for one in (key, first)]
    shown = dict(zip(rule.columns, map(_shown, values), strict=True))
    return BrokenRow(str(texts[0]), shown, rule.look(places, str(texts[0]), texts[1]))


def _shown(value: Any) -> str | int | float | None:
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, dict | list):
        import json

        value = json.dumps(value, ensure_ascii=False)
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
