"""The report of `check`: each difference as text, with its fix.

A statement that loses values is never the suggested next step: it is listed separately, with the number of values that
it would lose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from diwa_schema.drift.compare import TRAITS, Finding, Problem
from diwa_schema.drift.model import Column, ForeignKey, Index, Key, Other, Trigger
from diwa_schema.drift.rules import Waiting
from diwa_schema.drift.unfinished import Unfinished
from diwa_schema.errors import command
from diwa_schema.names import amount

Severity = Literal["drift", "note"]

_LONGEST = 160  # displayed characters of a definition
_LONGEST_COMMENT = 60


# A missing column is added, because the code that runs needs it; what it held, no statement brings back.
OF_LOST_COLUMN = "The new column is empty: values that the lost one had are only in a backup."


@dataclass(frozen=True, slots=True)
class Fix:
    """The fix of one difference.

    Args:
        statements: SQL that loses nothing; run each statement separately, outside a transaction. A statement that could
            not avoid a loss fails and changes nothing.
        safe: Whether they are safe on a live table: they remove nothing that somebody has added, and nobody waits for
            longer than a moment.
        caution: The reason why they are not safe, or a check to make beforehand.
        losing: SQL that removes the difference together with values, or gives up lost ones; check the values before
            running it.
        counting: A query for the number of values that would be lost.
        lost: The result of that query; None if it was not run or failed.
        condition: The condition under which to run `losing`; empty if the number of lost values tells it.
    """

    statements: tuple[str, ...] = ()
    safe: bool = True
    caution: str = ""
    losing: tuple[str, ...] = ()
    counting: str = ""
    lost: int | None = None
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between a live schema and the expected one.

    Args:
        kind: The kind of object: ``index``, ``foreign key``, ``row security``.
        object: Its name.
        table: Its table, or the object itself if it is a table.
        problem: ``missing``, ``extra``, ``changed`` or ``renamed``.
        text: The difference in one line of text.
        severity: ``drift``, or ``note`` for a harmless difference.
        fix: Its fix.
    """

    kind: str
    object: str
    table: str
    problem: Problem
    text: str
    severity: Severity
    fix: Fix

    @property
    def statement(self) -> str:
        """The SQL that removes it without losing a value, runnable as printed; empty if there is none."""
        return "\n".join(f"{statement};" for statement in self.fix.statements)

    @property
    def losing(self) -> str:
        """The SQL that removes it together with values; empty if no such SQL is needed."""
        return "\n".join(f"{statement};" for statement in self.fix.losing)

    @property
    def safe(self) -> bool:
        """Whether `statement` is safe on a live table."""
        return self.fix.safe

    @property
    def fixable(self) -> bool:
        """Whether a run may fix it on a live table: with statements that lose nothing and make nobody wait."""
        return self.safe and bool(self.fix.statements)

    def way(self) -> list[str]:
        """Return the lines about its fix for people: each statement, and whether it is safe."""
        lines: list[str] = []
        if self.fix.statements:
            lines += self.statement.splitlines()
            if self.safe:
                lines.append(". ".join(filter(None, ("safe on a live table", self.fix.caution))))
            else:
                lines.append(f"not safe on a live table: {self.fix.caution}")
        elif self.fix.caution:
            lines.append(self.fix.caution)
        if self.losing:
            lost = "an unknown number of values" if self.fix.lost is None else amount(self.fix.lost, "value")
            told = f"this statement would lose {lost}; do not run it without a backup"
            lines.append(f"{self.fix.condition or told}:")
            lines += [f"    {line}" for line in self.losing.splitlines()]
        return lines

    def __str__(self) -> str:
        """Return the difference in one line of words."""
        return self.text

    def as_dict(self) -> dict[str, Any]:
        """Return the difference as a document for ``--json``."""
        return {
            "kind": self.kind,
            "object": self.object,
            "table": self.table,
            "problem": self.problem,
            "text": self.text,
            "severity": self.severity,
            "fix": self.statement,
            "safe": self.safe,
            "caution": self.fix.caution,
            "losing": self.losing,
            "lost": self.fix.lost,
        }


def difference(finding: Finding, fix: Fix) -> Difference:
    """Return a finding in words. An unexpected index is only a note, unless it is unique."""
    note = finding.kind == "index" and finding.problem == "extra" and not finding.found.unique
    return Difference(
        kind=finding.kind,
        object=finding.name,
        table=finding.table,
        problem=finding.problem,
        text=_line(finding),
        severity="note" if note else "drift",
        fix=fix,
    )


def of_lost_table(create: Sequence[str], *, vectors: bool = False) -> Fix:
    """Return the fix of a missing table: the backup, and not an empty table, because its rows are gone as well.

    Args:
        create: The statements that create an empty one.
        vectors: Whether the table may have vectors, without whose extension a restore leaves it out.
    """
    first = ", after the extension vector: without it, a restore leaves the table out" if vectors else ""
    return Fix(
        safe=False,
        caution=f"Its rows are lost with it. Restore the table from the backup{first}.",
        losing=tuple(create),
        condition="only if it had no rows, or nobody needs them, create an empty one",
    )


def of_place(text: str, statements: tuple[str, ...]) -> Difference:
    """Return a note on a pgvector that a drop of a tenant would drop."""
    caution = "a connection whose search path lacks the new schema cannot compare embeddings"
    fix = Fix(statements, safe=False, caution=caution)
    return Difference("extension", "vector", "", "changed", text, "note", fix)


def of_ectos_code(place: tuple[str, str]) -> Difference:
    """Return a note on a column that the newest Ecto code needs; it stays."""
    table, name = place
    text = f"column {name} on {table} is not part of the schema, and stays: the newest Ecto code needs it"
    return Difference("column", name, table, "extra", text, "note", Fix())


def of_list(table: str, words: str) -> Difference:
    """Return the difference between Ecto's list of versions and what the runs of this package wrote."""
    text = f"Ecto's list of versions, {table}, was changed after the takeover: {words}"
    fix = Fix(
        safe=False,
        caution="restore what `mix ecto.rollback` or `mix ecto.migrate` changed, then correct the list",
    )
    return Difference("table", table, table, "changed", text, "drift", fix)


def of_base() -> Difference:
    """Return a note on a database without any part of the schema: to find no difference there says nothing."""
    text = "the database has no part of the schema, so nothing was compared"
    return Difference(
        "schema", "", "", "missing", text, "note", Fix(safe=False, caution=f"Run: {command('upgrade')}")
    )


def of_unfinished(one: Unfinished, found: Sequence[Difference]) -> Difference:
    """Return the differences that belong to an unfinished revision as one.

    Args:
        one: The revision.
        found: The differences.
    """
    listed = ", ".join(f"{each.kind} {each.object} of {each.table}" for each in found)
    text = f"{one.text}: these objects belong to it: {listed}"
    fix = Fix(safe=False, caution=one.next_step)
    return Difference("revision", one.revision or "", "", "changed", text, "drift", fix)


def of_stopped(one: Unfinished) -> Difference:
    """Return a note on a run that somebody has to continue, although no object of an unfinished step is there."""
    fix = Fix(safe=False, caution=one.next_step)
    return Difference("revision", "", "", "changed", one.text, "note", fix)


def of_rule(one: Waiting, statements: tuple[str, ...]) -> Difference:
    """Return a note on a rule about rows that the database does not enforce yet.

    Args:
        one: The waiting rule.
        statements: The statements that add it; none while rows break it.
    """
    problem: Problem = "missing" if one.state == "absent" else "changed"
    fix = Fix(statements, safe=one.rows == 0, caution=f"Run: {one.next_step}")
    return Difference("rule", one.rule, one.table, problem, one.text, "note", fix)


def _line(finding: Finding) -> str:
    subject = f"{finding.kind} {finding.name}"
    if finding.kind == "table":
        return (
            f"{subject} is missing"
            if finding.problem == "missing"
            else f"{subject} is a {finding.found.kind}"
        )
    if finding.problem == "missing":
        return f"{subject} is missing on {finding.table}"
    if finding.problem == "renamed":
        return f"{subject} is named {finding.found.name} on {finding.table}"
    if finding.problem == "extra":
        invalid = " and is INVALID" if getattr(finding.found, "valid", True) is False else ""
        return f"{subject} is not part of the schema on {finding.table}{invalid}"
    if finding.expected is None:
        return (
            f"{subject} of {finding.table}, a table of another application, refers to "
            f"{finding.found.references}, the old table that a revision set aside: the key followed its "
            "rename"
        )
    return _changed(finding, f"{subject} on {finding.table}")


def _changed(finding: Finding, subject: str) -> str:
    trait = finding.fields[0]
    if finding.kind in TRAITS.values():
        held, wanted = getattr(finding.found, trait), getattr(finding.expected, trait)
        return _TRAITS[trait].format(table=finding.table, found=_shown(held), expected=_shown(wanted))
    if finding.fields == ("valid",):
        return (
            f"{finding.kind} {finding.name} is INVALID on {finding.table}: a concurrent build did not finish"
        )
    if finding.fields == ("enabled",):
        state = f"{finding.found.enabled} on {finding.table}, should be {finding.expected.enabled}"
        return f"{finding.kind} {finding.name} is {state}"
    if finding.fields == ("comment",):
        return f"{subject} {_commented(finding)}"
    found, expected = (_cut(_worded(one), _LONGEST) for one in (finding.found, finding.expected))
    beside = f"; it {_commented(finding)}" if "comment" in finding.fields else ""
    return f"{subject} is {found}, should be {expected}{beside}"


def _commented(finding: Finding) -> str:
    """Return the difference of a column's comments."""
    held, wanted = (
        f"'{_cut(one.comment, _LONGEST_COMMENT)}'" if one.comment else ""
        for one in (finding.found, finding.expected)
    )
    return f"has {f'the comment {held}' if held else 'no comment'}, should have {wanted or 'none'}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


_TRAITS = {
    "persistence": "table {table} is {found}, should be {expected}",
    "row_security": "row security of table {table} is {found}, should be {expected}",
    "replica_identity": "replica identity of table {table} is {found}, should be {expected}",
    "owner": "table {table} is owned by {found}, not by the owner of the version table",
    "options": "table {table} is declared {found}, should be declared {expected}",
}


def _shown(held: object) -> str:
    if isinstance(held, tuple):
        return ", ".join(held) or "without options"
    return str(held)


def _worded(item: Any) -> str:
    """Return the description of an object, without its name."""
    return " ".join(" ".join(filter(None, _WORDS[type(item)](item))).split())


def _column(one: Column) -> list[str]:
    return [
        one.type,
        f"collate {one.collation}" if one.collation else "",
        "" if one.nullable else "not null",
        f"default {one.default}" if one.default is not None else "",
        one.generated or "",
    ]


def _key(one: Key) -> list[str]:
    return [
        f"({', '.join(one.columns)})",
        f"include ({', '.join(one.include)})" if one.include else "",
        (one.deferrable or "").lower(),
    ]


def _foreign_key(one: ForeignKey) -> list[str]:
    return [
        f"({', '.join(one.columns)}) references {one.references} ({', '.join(one.ref_columns)})",
        "" if one.match == "SIMPLE" else f"match {one.match.lower()}",
        "" if one.on_update == "NO ACTION" else f"on update {one.on_update.lower()}",
        "" if one.on_delete == "NO ACTION" else f"on delete {one.on_delete.lower()}",
        (one.deferrable or "").lower(),
        "not enforced" if not one.enforced else "" if one.validated else "not validated",
    ]


def _index(one: Index) -> list[str]:
    return [
        "unique" if one.unique else "",
        "" if one.method == "btree" else f"using {one.method}",
        f"({', '.join(one.columns)})",
        f"include ({', '.join(one.include)})" if one.include else "",
        "" if one.nulls_distinct else "nulls not distinct",
        f"with ({', '.join(one.options)})" if one.options else "",
        f"where {one.predicate}" if one.predicate else "",
        "" if one.valid else "INVALID",
    ]


def _trigger(one: Trigger) -> list[str]:
    state = "" if one.enabled == "enabled" else f"({one.enabled})"
    return ["constraint" if one.constraint else "", one.moment, one.action, state]


_WORDS: dict[type, Callable[[Any], list[str]]] = {
    Column: _column,
    Key: _key,
    ForeignKey: _foreign_key,
    Index: _index,
    Trigger: _trigger,
    Other: lambda one: [one.definition],
}
