"""Comparing a live database with the expected schema at its revision, and removing the differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from diwa_schema.database import bookkeeping
from diwa_schema.database.ecto_list import changed_list, in_words
from diwa_schema.database.state import ECTO, refuse_unknown
from diwa_schema.drift import unfinished
from diwa_schema.drift.compare import Finding, findings, with_own_comments, within_capabilities
from diwa_schema.drift.count import counted, deadline
from diwa_schema.drift.optional import added_columns, with_ectos_columns
from diwa_schema.drift.read import at_head, read
from diwa_schema.drift.report import (
    Difference,
    Fix,
    difference,
    of_base,
    of_ectos_code,
    of_list,
    of_place,
    of_rule,
    of_stopped,
    of_unfinished,
)
from diwa_schema.drift.rules import expected_in, waiting
from diwa_schema.migrations import pgvector
from diwa_schema.migrations.manifest import load
from diwa_schema.migrations.renamed import as_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from diwa_schema.database.link import Link
    from diwa_schema.database.state import State
    from diwa_schema.drift.model import Catalog
    from diwa_schema.drift.postgresql.write import Writer

# Statements that may take long and make nobody wait.
_WAITS_ALONE = ("CONCURRENTLY", "VALIDATE CONSTRAINT")


class Fixer(Protocol):
    """Writes the fixes of one comparison."""

    def fix(self, finding: Finding) -> Fix:
        """Return the fix of a finding."""

    def rank(self, finding: Finding) -> tuple[int, ...]:
        """Return the place of its fix: obstacles come first, losses last."""


class Pace(Protocol):
    """The pace of work on a live database: short under a strong lock, long without one."""

    def short(self, work: Callable[[Any], object]) -> object:
        """Run work in one short transaction, and repeat it if a table is in use."""

    def long(self, work: Callable[[Any], object]) -> object:
        """Run work outside a transaction."""


class Comparison(list[Difference]):
    """The differences of a database from the schema of its revision, in the order in which they can be fixed.

    Args:
        differences: The differences.
        revision: The revision of the database, with whose schema it was compared; None for base.
    """

    def __init__(self, differences: Iterable[Difference], revision: str | None) -> None:
        super().__init__(differences)
        self.revision = revision

    @property
    def head(self) -> str:
        """The last revision of the installed package."""
        return load().head

    @property
    def pending(self) -> tuple[str, ...]:
        """The revisions between the database and head, which the comparison leaves out."""
        return tuple(one.revision for one in load().between(self.revision, self.head))

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as a document for ``--json``."""
        return {
            "revision": self.revision,
            "head": self.head,
            "pending": list(self.pending),
            "differences": [one.as_dict() for one in self],
            "drift": sum(one.severity == "drift" for one in self),
        }


def check(link: Link) -> Comparison:
    """Return the differences of a database from the schema of its revision; nothing is written.

    Raises:
        DatabaseRefused: The database is not at a revision of the installed history.
        PermissionMissing: The database is below head, and the role may not create the shadow.
    """
    state = bookkeeping.look(link)
    refuse_unknown(state, load(), link.shown)
    gone, added = changed_list(state)
    changed = (of_list(ECTO, in_words(gone, added)),) if gone or added else ()
    found = _with_unfinished(link, state, compare_at(link, state.revision))
    if state.revision is None and not (changed or found):
        return Comparison([of_base()], None)
    return Comparison([*changed, *found, *_lodging(link)], state.revision)


def _with_unfinished(link: Link, state: State, found: tuple[Difference, ...]) -> tuple[Difference, ...]:
    """Return the differences; those that belong to an unfinished revision become one, whose fix is the next run."""
    one = unfinished.look(link, state)
    if not found and (one is None or not one.again):
        return ()
    places: frozenset[unfinished.Place] = frozenset()
    if one is not None:
        places = unfinished.touched(
            one, expected(link, state.revision), lambda revision: expected(link, revision)
        )
    among = [each for each in found if unfinished.belongs(each.kind, each.table, each.object, places)]
    if not among:
        # A revision without remains is the next upgrade's; other work is continued only if somebody knows of it.
        stopped = one is not None and one.again and not one.failed
        return (of_stopped(one), *found) if one is not None and stopped else found
    told = of_unfinished(one or unfinished.Unfinished(None), among)
    return (told, *(each for each in found if each not in among))


def _lodging(link: Link) -> Iterator[Difference]:
    """Yield a note if a drop of a tenant would drop the extension of the embeddings."""
    found = None if link.dialect == "sqlite" else pgvector.lodging(link)
    if found is not None:
        schema, way = found
        yield of_place(pgvector.lodged(schema), tuple(filter(None, map(str.strip, way.split(";")))))


def compare_at(link: Link, revision: str | None) -> tuple[Difference, ...]:
    """Return the differences of a database from the schema of any revision."""
    wanted = expected(link, revision)
    live = read(link, like=wanted)
    until = deadline()
    found = tuple(_counted(link, one, until) for one in compare(live, wanted))
    return (*found, *_rules(link, live, wanted, {one.object for one in found}))


def _rules(link: Link, live: Catalog, wanted: Catalog, told: set[str]) -> Iterator[Difference]:
    """Yield notes on the waiting rules of existing tables that no difference names."""
    rules = [
        as_named(rule, [column.name for column in table.columns])
        for rule in expected_in(wanted)
        if rule.name not in told and (table := live.table(rule.table))
    ]
    for one in waiting(link, live.origin.schema, rules):
        rule = next(rule for rule in rules if rule.name == one.rule)
        yield of_rule(one, _writer(live).rule(rule) if one.state == "absent" and not one.rows else ())


def _writer(live: Catalog) -> Writer:
    from diwa_schema.drift.postgresql.write import Writer

    return Writer(live.origin.schema)


def expected(link: Link, revision: str | None) -> Catalog:
    """Return the catalog expected at a revision: the shipped one at head, a shadow's below.

    Raises:
        PermissionMissing: A shadow is needed and the role may not create one.
    """
    if revision == load().head:
        return at_head(link.dialect)
    from diwa_schema.drift.shadow import expected_at

    return expected_at(link, revision)


def compare(live: Catalog, expected: Catalog) -> tuple[Difference, ...]:
    """Return the differences, in the order of their fixes.

    Unexpected tables, views, functions, types and sequences are ignored. On a table of the schema every unexpected
    object is drift, except a plain index and a column of Ecto's code, which are notes.

    Args:
        live: The read catalog.
        expected: The expected catalog.

    Returns:
        The differences; empty if there are none.
    """
    wanted = with_own_comments(with_ectos_columns(within_capabilities(expected, live), live), live)
    notes = tuple(map(of_ectos_code, added_columns(wanted, expected)))
    found = findings(live, wanted)
    if not found:
        return notes
    fixer = _fixer(live, wanted, found)
    found.sort(key=lambda one: (*fixer.rank(one), one.table, one.name))
    return (*(difference(one, fixer.fix(one)) for one in found), *notes)


def fix(link: Link, differences: Iterable[Difference], pace: Pace) -> list[Difference]:
    """Run the statements of the differences that are safe to fix on a live table.

    Args:
        link: The connection to the database, without an open transaction.
        differences: Its differences.
        pace: The pace of the statements on that connection.

    Returns:
        The fixed differences; unsafe ones stay.
    """
    safe = [one for one in differences if one.safe and one.fix.statements]
    # Several differences of a SQLite table are fixed by one copy of it.
    for statements in dict.fromkeys(one.fix.statements for one in safe):
        for statement in statements:
            _run(link, statement, pace)
    return safe


def _fixer(live: Catalog, wanted: Catalog, found: Sequence[Finding]) -> Fixer:
    if live.dialect == "sqlite":
        from diwa_schema.drift.sqlite import fix as fix_sqlite

        return fix_sqlite.Fixer(live, wanted, found)
    from diwa_schema.drift.postgresql import fix as fix_postgresql

    return fix_postgresql.Fixer(live, wanted)


def _counted(link: Link, one: Difference, until: float) -> Difference:
    """Return a difference with the number of values that its losing statements would lose, if it can be counted."""
    lost = counted(link, one.fix.counting, until) if one.fix.counting else None
    if lost is None:
        return one
    # If nothing is lost, the statement that refuses a loss is sufficient.
    losing = one.fix.losing if lost or not one.fix.statements else ()
    return replace(one, fix=replace(one.fix, lost=lost, losing=losing))


def _run(link: Link, statement: str, pace: Pace) -> None:
    if link.dialect == "sqlite":
        link.execute(statement)
    elif any(word in statement for word in _WAITS_ALONE):
        pace.long(lambda _: link.execute(statement))
    else:
        pace.short(lambda _: link.execute(statement))
