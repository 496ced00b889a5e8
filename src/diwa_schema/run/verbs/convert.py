"""Changes on request, apart from revisions: vectors and optional indexes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from diwa_schema.database.state import refuse_unknown
from diwa_schema.drift.optional import OPTIONAL, OptionalIndex, states
from diwa_schema.drift.postgresql.write import Writer
from diwa_schema.errors import DatabaseRefused, PermissionMissing, UsageError, command
from diwa_schema.migrations import characters, pgvector, steps
from diwa_schema.migrations.manifest import load
from diwa_schema.migrations.steps.indexes import build_index
from diwa_schema.migrations.steps.pace import ground
from diwa_schema.run import embeddings, preflight
from diwa_schema.run.plan import Plan
from diwa_schema.run.session import Look, Session, Verb, Written
from diwa_schema.run.settings import Report

if TYPE_CHECKING:
    import sqlalchemy as sa

    from diwa_schema.database.link import Link
    from diwa_schema.run.change import Change


def enable_vector(session: Session) -> Report:
    """Turn the embeddings of a database with pgvector into vectors; none is lost.

    Raises:
        DatabaseRefused: It has no pgvector and cannot get it, or is not at head.
    """

    def work(change: Change) -> None:
        link = change.link
        link.execute(pgvector.CREATE)
        if pgvector.embedding_type(link) == "bytea":
            raise _without_vector(link)
        for table in characters.TABLES:
            steps.retype_embedding(table, to="vector")

    def notes(change: Change) -> tuple[str, ...]:
        return embeddings.kept_apart(change.link, change.state.schema)

    def stands(look: Look) -> Plan:
        if not look.link.value(pgvector.POSSIBLE):
            raise _without_vector(look.link)
        return preflight.conversion(look, characters.TABLES, f"vector({pgvector.DIMENSIONS})")

    return _convert(session, Verb("convert"), stands, work, notes)


def _without_vector(link: Link) -> DatabaseRefused:
    first = "" if link.value(pgvector.AVAILABLE) else "Install pgvector on the server. "
    return DatabaseRefused(
        f"{link.shown} has no pgvector, and this run cannot create it in an allowed schema.",
        next_step=f"{first}As a superuser: {pgvector.creation(link)} Then: {command('enable-vector')}",
    )


def disable_vector(session: Session) -> Report:
    """Turn the embeddings of a database back into bytes, including those of the archive; none is lost.

    A value that is only the characters of a vector stays in the archive, and the column refuses such values from now
    on.

    Raises:
        DatabaseRefused: It is not at head.
    """

    def work(_: Change) -> None:
        for table in characters.TABLES:
            steps.retype_embedding(table, to="bytes")
        # The conversion to bytes drops an empty archive, and head needs one.
        steps.create_embedding_archive()

    def notes(change: Change) -> tuple[str, ...]:
        link, schema = change.link, change.state.schema
        return (
            *embeddings.kept_characters(link, schema),
            *embeddings.refused(link, schema, characters.TABLES),
        )

    def stands(look: Look) -> Plan:
        return preflight.conversion(look, characters.TABLES, "bytea")

    return _convert(session, Verb("convert", "downgrade"), stands, work, notes)


def enable_index(session: Session, name: str) -> Report:
    """Build an optional index while its table is in use; an existing one stays.

    Raises:
        UsageError: There is no optional index of that name.
        PermissionMissing: Its extension is absent, and the role cannot create it.
    """
    wanted = _optional(name)

    def work(change: Change) -> None:
        place = _place_of_extension(change.link, wanted)
        writer = Writer(change.state.schema)
        # The extension may be off the search path: the operator class is the last word of the only column.
        (column,) = wanted.index.columns
        name, _, operators = column.rpartition(" ")
        index = replace(wanted.index, columns=(f"{name} {place}.{operators}",))

        def build(connection: sa.Connection, concurrently: bool) -> None:
            connection.exec_driver_sql(writer.index(wanted.table, index, concurrently=concurrently))

        build_index(ground(), wanted.index.name, build)

    def stands(look: Look) -> Plan:
        _refuse_bytes(look, wanted)
        return preflight.conversion(look, (wanted.table,))

    return _convert(session, Verb("index"), stands, work)


def disable_index(session: Session, name: str) -> Report:
    """Drop an optional index while its table is in use; if it is absent, nothing happens.

    Raises:
        UsageError: There is no optional index of that name.
    """
    wanted = _optional(name)
    return _convert(
        session,
        Verb("index", "downgrade"),
        lambda look: preflight.conversion(look, (wanted.table,)),
        lambda _: steps.drop_index_concurrently(wanted.index.name, wanted.table),
        needed=lambda look: states(look.link, look.state.schema)[wanted.index.name] != "absent",
    )


def _refuse_bytes(look: Look, wanted: OptionalIndex) -> None:
    """Raise an error if an index needs vectors and the embeddings are bytes.

    Raises:
        DatabaseRefused: They are.
    """
    from diwa_schema.migrations.steps.dependents import kind_of

    if wanted.extension == "vector" and kind_of(look.link, wanted.table, characters.COLUMN) == "bytea":
        raise DatabaseRefused(
            f"{wanted.index.name} needs vectors, and the embeddings of {wanted.table} on {look.shown} are bytes.",
            next_step=f"First, run: {command('enable-vector')}",
        )


def _optional(name: str) -> OptionalIndex:
    found = next((one for one in OPTIONAL if one.index.name == name), None)
    if found is None:
        names = ", ".join(one.index.name for one in OPTIONAL)
        raise UsageError(
            f"'{name}' is not an optional index.", next_step=f"The optional indexes are: {names}."
        )
    return found


def _place_of_extension(link: Link, wanted: OptionalIndex) -> str:
    """Return the schema of an index's extension, as SQL."""
    found: str | None = link.value(
        "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = %s",
        (wanted.extension,),
    )
    if found is not None:
        return found
    raise PermissionMissing(
        f"{wanted.index.name} needs the extension {wanted.extension}, which {link.shown} does not have.",
        next_step=f"As a superuser, in that database: {pgvector.creation(link, wanted.extension)}",
    )


def refuse_other_than_head(look: Look) -> None:
    """Raise an error unless the database has the installed schema.

    Raises:
        DatabaseRefused: It is not at head.
    """
    refuse_unknown(look.state, load(), look.shown)
    if look.state.revision != load().head:
        raise DatabaseRefused(
            f"{look.shown} is at {look.state.revision or 'base'}, not at head.",
            next_step=f"Run: {command('upgrade')}",
        )


def _convert(
    session: Session,
    verb: Verb,
    stands: Callable[[Look], Plan],
    work: Callable[[Change], None],
    notes: Callable[[Change], tuple[str, ...]] = lambda _: (),
    needed: Callable[[Look], bool] = lambda _: True,
) -> Report:
    """Do the work in pieces on a database at head without obstacles, and record it."""

    def decide(look: Look) -> bool | None:
        if look.link.dialect == "sqlite":
            raise UsageError(f"{look.shown} is SQLite, which has neither vectors nor these indexes.")
        refuse_other_than_head(look)
        preflight.refuse(stands(look), look.shown, allow_stall=False)
        return needed(look) or look.left(verb.kind) or None

    def convert(change: Change, _: bool) -> Written:
        with change.begun():
            with change.op(), change.steps():
                work(change)
            change.at_once(lambda: None, after=change.state.revision)
        return Written(change.state.revision, 1, notes=notes(change))

    return session.change(verb, decide, convert)
