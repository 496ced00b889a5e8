"""Proving revisions: up, down and up again with rows in every table, with a killed run, and under older code.

Each revision is proven on a database of either kind at the revision before it:

* up, down: the catalog and every value are the same as before; up again: the same as the first time.
* killed: the next run finishes a run that was killed in the middle, with the same result as an uninterrupted run.
* old code: statements that connections prepared before an ``expand`` revision keep working after it. They name every
  existing column, as an ORM does.
* new code: the start-up check of code that needs the revision refuses before it and names it, and passes after it.
* released code: statements from the models of the last release (`statements`) keep working, and its start-up check
  passes; after a ``contract`` that the release does not survive, the check refuses.
"""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from diwa_schema.api import downgrade, migrate
from diwa_schema.authoring import samples, statements
from diwa_schema.authoring.clients import connected
from diwa_schema.authoring.draft import list_edited
from diwa_schema.authoring.interrupted import ROWS_REFUSED, killed_at
from diwa_schema.authoring.source import refuse_gone
from diwa_schema.authoring.statements import Statement
from diwa_schema.database.failures import brief, connection_lost, is_driver_error
from diwa_schema.database.spelling import Dialect
from diwa_schema.database.target import Target
from diwa_schema.database.url import sqlite_url
from diwa_schema.drift.check import compare
from diwa_schema.drift.model import Catalog
from diwa_schema.errors import DatabaseUnreachable, DiwaSchemaError, UsageError
from diwa_schema.export.description import describe
from diwa_schema.generate import ours
from diwa_schema.health.startup import judge
from diwa_schema.migrations import manifest
from diwa_schema.migrations.manifest import BASE, Manifest, Revision
from diwa_schema.names import amount, quoted
from diwa_schema.run.settings import Settings
from diwa_schema.testing.scratch import scratch

if TYPE_CHECKING:
    from diwa_schema.testing.scratch import Scratch

# How many revisions below the one before it rows are made at most: a column comes, is filled, and then takes no NULL.
_BELOW = 2

# Values that a run keeps for the downgrade carry the time of that run, which no other run repeats.
_MOMENTS = frozenset({"kept_at", "archived_at"})

Rows = dict[str, list[dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Failure:
    """A part of the proof that failed for a revision.

    Args:
        revision: Its id.
        dialect: The kind of database.
        part: The part: up, rows, down, again, killed, new code, old code, released code.
        why: The observation.
    """

    revision: str
    dialect: Dialect
    part: str
    why: str


@dataclass(frozen=True, slots=True)
class Proof:
    """The proven revisions and the failures.

    Args:
        revisions: The revisions of the proof.
        dialects: The kinds of database.
        failures: The failed parts.
    """

    revisions: tuple[str, ...]
    dialects: tuple[Dialect, ...]
    failures: tuple[Failure, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as a document."""
        return {
            "revisions": list(self.revisions),
            "dialects": list(self.dialects),
            "failures": [asdict(one) for one in self.failures],
        }


def prove(names: Sequence[str] = (), tell: Callable[[str], None] = lambda _: None) -> Proof:
    """Prove revisions on throw-away databases: SQLite files, and databases of a server if there is one.

    Args:
        names: Ids of revisions or their beginnings; by default the unreleased ones.
        tell: Called with a line for people at the beginning of each revision.

    The manifest first gets the present checksum of an edited revision, because the proven runs compare the two.

    Raises:
        UnknownRevision: The history has no such revision.
        UsageError: The file of a listed revision is missing or was edited after its release; a revision cannot be
            imported; or the catalog of head lacks parts of the models.
        DatabaseUnreachable: The server of ``DIWA_TEST_DATABASE_URL`` does not answer, or its connection ended.
    """
    refuse_gone()
    if list_edited():
        tell(f"{manifest.PATH.name} lists the present revisions")
    known = manifest.load()
    wanted = {known.resolve(name, None) for name in names}
    chosen = [one for one in known.revisions if (one.revision in wanted if names else one.released is None)]
    # The rows of a trial use the words of the models. Models ahead of the catalogs are not a fault of a revision.
    describe()
    failures: list[Failure] = []
    dialects: tuple[Dialect, ...] = ("sqlite",)
    try:
        with scratch() as server:
            if server:
                dialects = ("sqlite", "postgresql")
            for one in chosen:
                for dialect in dialects:
                    tell(f"{one.revision} {one.slug} on {dialect}")
                    failures += _Trial(one, dialect, server).failures()
    except Exception as error:
        if not is_driver_error(error) or not connection_lost(error):
            raise
        raise DatabaseUnreachable(
            f"The connection to the server ended during the proof: {brief(error)}",
            untouched=(
                "The server may still have throw-away databases named diwa_copy_...; later tests there drop"
                " them."
            ),
            next_step="Run the same command again.",
        ) from error
    return Proof(tuple(one.revision for one in chosen), dialects, tuple(failures))


class _Places:
    """The databases of one trial: each is a copy of a database below the revision, with rows."""

    def __init__(self, dialect: Dialect, server: Scratch | None) -> None:
        self._dialect, self._server = dialect, server
        self._files: dict[str, Path] = {}

    @contextmanager
    def database(self, like: str | None = None) -> Iterator[str]:
        """Yield the URL of a new database: an empty one, or a copy of another."""
        if self._dialect == "postgresql" and self._server is not None:
            with self._server.database(like) as url:
                yield url
            return
        with TemporaryDirectory() as folder:
            path = Path(folder) / "proof.db"
            self._files[sqlite_url(path)] = path
            if like is not None:
                shutil.copy(self._files[like], path)
            yield sqlite_url(path)


class _Trial:
    """One revision on one kind of database."""

    def __init__(self, revision: Revision, dialect: Dialect, server: Scratch | None) -> None:
        self._revision, self._dialect = revision, dialect
        self._places = _Places(dialect, server)
        self._found: list[Failure] = []

    def failures(self) -> list[Failure]:
        # Its own rules may refuse rows that the earlier revisions of the same change never leave behind.
        first: list[Failure] = []
        for below in range(_BELOW + 1):
            self._found, self._refused = [], False
            with self._places.database() as url:
                try:
                    self._try(url, below)
                except DiwaSchemaError as error:
                    self._fail("up", str(error))
            first = first or self._found
            if not self._refused:
                return self._found
        return first

    def _fail(self, part: str, why: str) -> None:
        self._found.append(Failure(self._revision.revision, self._dialect, part, why))

    def _try(self, url: str, below: int) -> None:
        """Try all parts, with rows created at a number of revisions below the previous one."""
        before = self._revision.down_revision or BASE
        earlier = manifest.load().until(self._revision.down_revision)
        if earlier:
            migrate(url, earlier[max(-len(earlier), -1 - below)].revision, settings=Settings(replay=True))
        with Target.of(url).connect() as link:
            catalog = ours(link)
            for table, said in samples.fill(link, catalog).items():
                self._fail("rows", f"{table} refuses every generated row: {said}")
        if earlier:
            migrate(url, before, settings=Settings(replay=True))
        catalog, rows = self._look(url)
        new = _new_code(url, self._revision)
        with ExitStack() as stack:
            killed = (
                stack.enter_context(self._places.database(like=url)) if self._revision.down_revision else None
            )
            old = stack.enter_context(_old_code(url, catalog, self._revision))
            released = stack.enter_context(_released_code(url, self._dialect, self._revision))
            code, said = killed_at(url, self._revision.revision)
            if code:
                self._refused = code == ROWS_REFUSED
                self._fail("up", said)
                return
            for part, again in (("new code", new), ("old code", old), ("released code", released)):
                for why in again():
                    self._fail(part, why)
            reached, values = self._look(url)
            self._down(url, before, catalog, rows)
            migrate(url, self._revision.revision, settings=Settings(replay=True))
            self._same("again", self._look(url), (reached, values))
            if killed is not None:
                self._kill(killed, int(said), (reached, values))

    def _down(self, url: str, before: str, catalog: Catalog, rows: Rows) -> None:
        if self._revision.irreversible:
            return
        try:
            downgrade(url, before)
        except UsageError as error:
            # New columns have values by now, and a downgrade that loses some needs a confirmation.
            downgrade(url, before, confirm=error.facts["confirm"])
        self._same("down", self._look(url), (catalog, rows), self._revision.forgets)

    def _kill(self, url: str, statements: int, expected: tuple[Catalog, Rows]) -> None:
        code, said = killed_at(url, self._revision.revision, at=statements // 2)
        if code != -signal.SIGKILL:
            self._fail(
                "killed", f"the run should have died at statement {statements // 2} of {statements}: {said}"
            )
        migrate(url, self._revision.revision, settings=Settings(replay=True))
        self._same("killed", self._look(url), expected)

    def _same(
        self,
        part: str,
        found: tuple[Catalog, Rows],
        expected: tuple[Catalog, Rows],
        forgotten: Sequence[str] = (),
    ) -> None:
        for one in compare(found[0], expected[0]):
            self._fail(part, one.text)
        for table, wanted in expected[1].items():
            here = found[1].get(table)
            if here is None or table in forgotten:
                continue
            kept, there = _without(forgotten, table, wanted), _without(forgotten, table, here)
            if there != kept:
                self._fail(part, f"{table}: {_difference(there, kept)}")

    def _look(self, url: str) -> tuple[Catalog, Rows]:
        with Target.of(url).connect() as link:
            catalog = ours(link)
            rows = samples.rows(link, catalog)
        for table in rows.keys() - set(manifest.load().tables):
            rows[table] = [
                {name: value for name, value in row.items() if name not in _MOMENTS} for row in rows[table]
            ]
        return catalog, rows


def _without(forgotten: Sequence[str], table: str, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [
        {name: value for name, value in row.items() if f"{table}.{name}" not in forgotten} for row in rows
    ]


def _difference(found: list[dict[str, str]], expected: list[dict[str, str]]) -> str:
    if len(found) != len(expected):
        return f"{amount(len(found), 'row')} instead of {len(expected)}"
    for one, other in zip(found, expected, strict=True):
        for name, value in other.items():
            if one.get(name) != value:
                return f"{name} is {one.get(name)!s:.80} instead of {value:.80}"
    return "columns differ"


def _old_code(
    url: str, catalog: Catalog, revision: Revision
) -> AbstractContextManager[Callable[[], list[str]]]:
    """Prepare the statements of code that knows every column; return a function that runs them again.

    Columns whose type the revision declares to change are left out: the run reports them.
    """
    if catalog.dialect == "sqlite" or revision.phase == "contract":
        return nullcontext(list)
    declared = {name.partition(".")[0] for name in revision.retypes}
    prepared = [
        Statement(sql)
        for table in catalog.tables
        if table.name not in declared and table.primary_key
        for sql in _statements(table.name, [one.name for one in table.columns])
    ]
    return connected(url, prepared)


def _new_code(url: str, revision: Revision) -> Callable[[], list[str]]:
    """Run the start-up check of code that needs a missing revision; return a function that returns the faults.

    Models know one schema, the newest one. Only this refusal protects them from an older one.
    """
    known = manifest.load()
    history = Manifest(known.until(revision.revision), known.tables)
    said = _refused(url, history)
    found = (
        []
        if revision.revision in said
        else [(f"before the revision, ensure_current says {said!r} and does not name it")]
    )

    def after() -> list[str]:
        refused = _refused(url, history)
        return found + ([f"after the revision, ensure_current refuses: {refused}"] if refused else [])

    return after


def _released_code(
    url: str, dialect: Dialect, revision: Revision
) -> AbstractContextManager[Callable[[], list[str]]]:
    """Send the statements of the last release's models; return a function that sends them again.

    A revision with a floor above that release breaks it, and then its start-up check has to refuse.
    """
    recorded = statements.load()
    if recorded is None or revision.revision <= recorded.head:
        return nullcontext(list)
    known = manifest.load()
    floor = known.floor(revision.revision)
    old = Manifest(known.until(recorded.head), known.tables)
    if floor is not None and floor > recorded.head:
        return nullcontext(lambda: _lets_in(url, recorded.release, old))
    declared = "|".join({name.partition(".")[0] for name in revision.retypes})
    named = re.compile(rf"\b({declared})\b" if declared else r"\b\B")
    sent = [] if dialect == "sqlite" else [one for one in recorded.statements if not named.search(one.sql)]
    return _of_release(url, recorded.release, old, sent)


@contextmanager
def _of_release(
    url: str, release: str, old: Manifest, sent: Sequence[Statement]
) -> Iterator[Callable[[], list[str]]]:
    with connected(url, sent) if sent else nullcontext(list) as again:
        yield lambda: [f"{release}, {why}" for why in again()] + _keeps_out(url, release, old)


def _lets_in(url: str, release: str, old: Manifest) -> list[str]:
    """Return the fault if the start-up check of a broken release does not refuse."""
    if _refused(url, old):
        return []
    return [
        (
            f"ensure_current of {release} lets that release start, and its statements no longer work with this"
            " revision"
        )
    ]


def _keeps_out(url: str, release: str, old: Manifest) -> list[str]:
    """Return the fault if the start-up check of a working release refuses."""
    said = _refused(url, old)
    return [f"ensure_current of {release} refuses: {said}"] if said else []


def _refused(url: str, history: Manifest) -> str:
    try:
        with Target.of(url).connect() as link:
            judge(link, history)
    except DiwaSchemaError as error:
        return error.what
    return ""


def _statements(table: str, columns: list[str]) -> Iterator[str]:
    where, names = quoted(table), ", ".join(map(quoted, columns))
    kept = ", ".join(f"{quoted(one)} = {quoted(one)}" for one in columns)
    yield f"SELECT {names} FROM {where}"
    # The existing key refuses the row: every column is named and checked, and nothing is written.
    yield f"INSERT INTO {where} ({names}) SELECT {names} FROM {where} LIMIT 1 ON CONFLICT DO NOTHING RETURNING {names}"
    yield f"UPDATE {where} SET {kept} WHERE false RETURNING {names}"
