"""Comparing a live database with what is expected at its revision."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from diwa_schema.database import version
from diwa_schema.drift.compare import compare
from diwa_schema.drift.document import loads
from diwa_schema.drift.read import read
from diwa_schema.migrations.manifest import DIRECTORY, content, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from diwa_schema.database.link import Link
    from diwa_schema.drift.difference import Difference
    from diwa_schema.drift.model import Catalog

# What may take long and makes nobody wait meanwhile.
_WAITS_ALONE = ("CONCURRENTLY", "VALIDATE CONSTRAINT")


def path(dialect: str) -> Path:
    """Return where the catalog of a dialect at head is."""
    return DIRECTORY / f"catalog_{dialect}.json"


@cache
def at_head(dialect: str) -> Catalog:
    """Return the catalog expected at head, which ships with the package."""
    return loads(content(path(dialect)).decode())


def expected(link: Link, revision: str | None) -> Catalog:
    """Return the catalog expected at a revision: the shipped one at head, a shadow's below.

    Raises:
        PermissionMissing: A shadow is needed and the role may not create one.
    """
    if revision == load().head:
        return at_head(link.dialect)
    from diwa_schema.drift.shadow import expected_at

    return expected_at(link, revision)


def check(link: Link) -> tuple[Difference, ...]:
    """Return where a database differs from what is expected at its revision; nothing is written.

    Raises:
        DatabaseRefused: The database is not at a revision of the installed history.
        PermissionMissing: It is below head and the role may not create the shadow.
    """
    from diwa_schema.database.version import refuse_unknown

    state = version.read(link)
    refuse_unknown(state, load(), link.shown)
    return compare_at(link, state.revision)


def compare_at(link: Link, revision: str | None) -> tuple[Difference, ...]:
    """Return where a database differs from what is expected at a revision, wherever it stands."""
    wanted = expected(link, revision)
    return compare(read(link, like=wanted), wanted)


class Pace(Protocol):
    """Runs work on a live database: short what takes a strong lock, long what waits without one."""

    def short(self, work: Callable[[Any], object]) -> object:
        """Run work in one short transaction, again when a table is in use."""

    def long(self, work: Callable[[Any], object]) -> object:
        """Run work outside a transaction."""


def mend(link: Link, differences: Iterable[Difference], pace: Pace) -> list[Difference]:
    """Run the statements of the differences that are safe to mend on a live table.

    Args:
        link: The connection to the database, in no transaction.
        differences: What was found there.
        pace: What runs the statements on that connection.

    Returns:
        The differences that are mended now; those that are not safe are left.
    """
    safe = [one for one in differences if one.safe and one.mend.statements]
    # Several differences of a SQLite table are mended by one copy of it.
    for statements in dict.fromkeys(one.mend.statements for one in safe):
        for statement in statements:
            _run(link, statement, pace)
    return safe


def _run(link: Link, statement: str, pace: Pace) -> None:
    if link.dialect == "sqlite":
        link.execute(statement)
    elif any(word in statement for word in _WAITS_ALONE):
        pace.long(lambda _: link.execute(statement))
    else:
        pace.short(lambda _: link.execute(statement))
