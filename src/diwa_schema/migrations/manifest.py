"""The list of revisions that ships with the package, readable without Alembic."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from diwa_schema.errors import UnknownRevision, UsageError, command
from diwa_schema.names import amount

if TYPE_CHECKING:
    from importlib.abc import SourceLoader

DIRECTORY = Path(__file__).parent
VERSIONS = DIRECTORY / "versions"
PATH = DIRECTORY / "manifest.json"

# The prefix of the name of a table that was set aside for one of this history.
KEPT = "diwa_schema_kept_"

HEAD = "head"
BASE = "base"


class Revision(NamedTuple):
    """One step of the history.

    Args:
        revision: Its id, a 14-digit UTC timestamp.
        down_revision: The revision before it; None for the first.
        slug: Its short name.
        file: The name of its file.
        sha256: The checksum of its source, line ends as LF.
        phase: expand or contract.
        floor: The oldest head whose code still works afterwards; None leaves the floor unchanged.
        transactional: Whether all of it runs in one transaction.
        irreversible: The reason why it cannot be reversed; None if it can.
        leaves: The tables that its reversal leaves in place while they have rows.
        drops: The tables and "table.column"s that its reversal drops.
        forgets: The tables and "table.column"s whose earlier values its reversal does not restore.
        rewrites: The tables whose rows it rewrites or reindexes under a strong lock.
        retypes: The columns, as "table.column", whose type it changes if they do not have the new type yet.
        retypes_back: The same for its reversal.
        renames: The columns that it renames, as "table.column=new".
        released: The version of the package that first contained it; None before that.
    """

    revision: str
    down_revision: str | None
    slug: str
    file: str
    sha256: str
    phase: str = "expand"
    floor: str | None = None
    transactional: bool = True
    irreversible: str | None = None
    leaves: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()
    forgets: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()
    retypes: tuple[str, ...] = ()
    retypes_back: tuple[str, ...] = ()
    renames: tuple[str, ...] = ()
    released: str | None = None

    @property
    def path(self) -> Path:
        """The path of its source."""
        return _in(VERSIONS, self.file)


@cache
def _in(folder: Path, file: str) -> Path:
    """Return a path; a run asks for those of all revisions several times, and joining takes as long as reading."""
    return folder / file


class Manifest:
    """The revisions in history order, and the tables at head.

    Args:
        revisions: The revisions, oldest first.
        tables: The names of the schema's tables, in the order of their foreign keys.
    """

    def __init__(self, revisions: tuple[Revision, ...], tables: tuple[str, ...]) -> None:
        self.revisions = revisions
        self.tables = tables
        self.ids = tuple(revision.revision for revision in revisions)
        self._position = {name: number for number, name in enumerate(self.ids)}

    @cached_property
    def leftovers(self) -> frozenset[str]:
        """The tables that may remain at base, with their rows."""
        return frozenset(table for revision in self.revisions for table in revision.leaves)

    @property
    def head(self) -> str:
        """The last revision."""
        return self.ids[-1]

    def __contains__(self, revision: object) -> bool:
        return revision in self._position

    def __iter__(self) -> Iterator[Revision]:
        return iter(self.revisions)

    def get(self, revision: str) -> Revision:
        """Return a revision by its whole id."""
        return self.revisions[self._position[revision]]

    def position(self, revision: str | None) -> int:
        """Return the number of revisions up to and including this one; 0 for base."""
        return 0 if revision is None else self._position[revision] + 1

    def until(self, revision: str | None) -> tuple[Revision, ...]:
        """Return the revisions up to and including this one."""
        return self.revisions[: self.position(revision)]

    def between(self, lower: str | None, upper: str | None) -> tuple[Revision, ...]:
        """Return the revisions after `lower` up to and including `upper`, oldest first."""
        return self.revisions[self.position(lower) : self.position(upper)]

    @cached_property
    def _created(self) -> dict[str, str]:
        """The revision that creates each table: the last one whose reverse drops it or leaves it."""
        return {table: one.revision for one in self.revisions for table in (*one.drops, *one.leaves)}

    def tables_at(self, revision: str | None) -> tuple[str, ...]:
        """Return the tables of the schema that exist at a revision, in the order of their foreign keys."""
        if revision == self.head:
            return self.tables
        there = self.position(revision)
        return tuple(
            table
            for table in self.tables
            if (made := self._created.get(table)) is not None and self.position(made) <= there
        )

    @property
    def renames(self) -> bool:
        """Whether a revision renames a column."""
        return bool(self._renamed)

    @cached_property
    def _renamed(self) -> tuple[str, ...]:
        return tuple(name for one in self.revisions for name in one.renames)

    def names_of(self, table: str, column: str, drafted: tuple[str, ...] = ()) -> frozenset[str]:
        """Return all names that a column has at some revision, by one of them.

        Args:
            table: The table.
            column: One of its names.
            drafted: Further renames, as "table.column=new".
        """
        found = frozenset((column,))
        renames = (
            name.removeprefix(f"{table}.") for name in self._renamed + drafted if name.startswith(f"{table}.")
        )
        steps = [frozenset(name.split("=")) for name in renames]
        for names in (*steps, *reversed(steps)):
            if names & found:
                found |= names
        return found

    def floor(self, revision: str | None) -> str | None:
        """Return the effective floor at a revision."""
        return next((step.floor for step in reversed(self.until(revision)) if step.floor), None)

    def resolve(self, name: str, current: str | None) -> str | None:
        """Return the id of a revision that a person named; None for base.

        Args:
            name: ``head``, ``base``, a revision id or its beginning, or ``+N`` / ``-N`` from the current one.
            current: The current revision of the database; None for base.

        Raises:
            UnknownRevision: The history has no such revision, or more than one.
        """
        if name in (HEAD, "heads"):
            return self.head
        if name == BASE:
            return None
        if re.fullmatch(r"[+-]\d{1,9}", name, re.ASCII):
            return self._relative(name, current)
        found = [revision for revision in self.ids if name and revision.startswith(name)]
        if len(found) != 1:
            raise UnknownRevision(
                f"There is no revision '{name}' in the installed history."
                if not found
                else f"'{name}' is the beginning of {amount(len(found), 'revision')}, from {found[0]} to {found[-1]}.",
                next_step=f"To see the revisions, run: {command('history')}",
                revision=name,
            )
        return found[0]

    def _relative(self, name: str, current: str | None) -> str | None:
        position = self.position(current) + int(name)
        if not 0 <= position <= len(self.ids):
            raise UnknownRevision(
                f"'{name}' from {current or BASE} leads beyond the history.",
                next_step=f"To see the revisions, run: {command('history')}",
                revision=name,
            )
        return self.ids[position - 1] if position else None


def content(path: Path) -> bytes:
    """Return the content of a file of this package, even if the package runs from an archive."""
    loader: SourceLoader = globals()["__loader__"]
    return loader.get_data(str(path))


def document(path: Path) -> Any:
    """Return the content of a JSON file of this package.

    Raises:
        UsageError: It cannot be read; for example, git has left the marks of a conflict in it.
    """
    try:
        return json.loads(content(path))
    except ValueError as error:
        raise UsageError(
            f"{path.name} of this package cannot be read: {error}.",
            next_step="In a checkout of diwa-schema, after a merge, run: diwa-schema revision --rebase\n"
            "Elsewhere, install the package again: pip install --force-reinstall diwa-schema",
        ) from None


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file's bytes with every line end as LF; an unchanged file is read once a process."""
    try:
        file = path.stat()
    except OSError:  # in an archive
        return checksum_of(content(path))
    return _checksum(path, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns)


@cache
def _checksum(path: Path, *_: int) -> str:
    return checksum_of(content(path))


def checksum_of(content: bytes) -> str:
    """Return the SHA-256 of a content with every line end as LF."""
    return sha256(content.replace(b"\r\n", b"\n")).hexdigest()


_LISTS = ("leaves", "drops", "forgets", "rewrites", "retypes", "retypes_back", "renames")


def parse(document: dict[str, Any]) -> Manifest:
    """Return the manifest in a document."""
    revisions = tuple(
        Revision(**{**entry, **{name: tuple(entry.get(name, ())) for name in _LISTS}})
        for entry in document["revisions"]
    )
    return Manifest(revisions, tuple(document["tables"]))


@cache
def load() -> Manifest:
    """Return the installed package's manifest."""
    return parse(document(PATH))
