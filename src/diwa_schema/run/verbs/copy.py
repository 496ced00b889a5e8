"""Copying one tenant to another place: one transaction creates its schema there with all rows.

The result is complete or absent, so the same command restarts a killed copy from the beginning. Resuming in the middle
would save time but prove less: the parts before and after the kill would come from different moments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from diwa_schema.database.failures import connection_lost, is_driver_error
from diwa_schema.database.state import ECTO, Kind, refuse_elsewhere
from diwa_schema.errors import UsageError, command
from diwa_schema.migrations import pgvector
from diwa_schema.migrations.manifest import load
from diwa_schema.models.rules import KEPT
from diwa_schema.names import amount, qualified, quoted
from diwa_schema.run import preflight, snapshot
from diwa_schema.run.plan import Plan
from diwa_schema.run.session import Look, Session, Verb, Written
from diwa_schema.run.settings import Applied, Report
from diwa_schema.run.verbs import tenant

if TYPE_CHECKING:
    from diwa_schema.privileges.existing import RoleNames
    from diwa_schema.run.change import Change
    from diwa_schema.run.copy.rows import Moved
    from diwa_schema.run.copy.source import Source


class Copied(NamedTuple):
    """The result of a copy.

    Args:
        report: The run on the target.
        source: The masked URL and the schema of the source.
        tables: The copied rows, table by table.
        left: Tables and views of the source's schema that were not copied.
        waits: The rules about rows that the copy does not enforce because rows break them, with their numbers.
        archived: The number of embeddings that went to the archive because a vector cannot hold them.
    """

    report: Report
    source: str
    tables: tuple[Moved, ...]
    left: tuple[str, ...]
    waits: dict[str, int]
    archived: int

    @property
    def rows(self) -> int:
        """The number of copied rows."""
        return sum(one.rows for one in self.tables)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as a document for ``--json``."""
        return {
            **self.report.as_dict(),
            "source": self.source,
            "tables": [one._asdict() for one in self.tables],
            "rows": self.rows,
            "left": list(self.left),
            "waits": self.waits,
            "archived": self.archived,
        }


def copy(session: Session, source: Source, names: RoleNames | None) -> Copied:
    """Create the schema of the session's target, with the rows of a source.

    Args:
        session: The session of the run.
        source: The source of the rows.
        names: The names of the roles, as for `tenant.create`.

    Raises:
        UsageError: The target is SQLite, or contains tables of this package.
        MigrationFailed: PostgreSQL cannot hold a row; nothing was copied.
        NotPersisted: A table would differ from the source; nothing was copied.
    """
    if names is not None:
        names.refuse_impossible()
    done: list[tuple[tuple[Moved, ...], int]] = []

    def work(change: Change, plan: Plan) -> Written:
        link, schema = change.link, change.state.schema
        total = source.about(source.tables)

        def first() -> None:
            if change.state.nowhere:
                link.execute(f"CREATE SCHEMA {quoted(schema)}")

        def fill() -> None:
            done.append(_fill(change, source, total))
            tenant.grant(change, names)

        entries = [(step.revision, step.sha256) for step in plan.revisions]
        milliseconds = change.at_once(
            fill,
            after=plan.after,
            entries=entries,
            timeout=session.settings.build_timeout,
            unseen=True,
            first=first,
        )
        change.tell_lodging()
        applied = tuple(Applied(step.revision, step.slug, milliseconds) for step in plan.revisions)
        return Written(plan.after, len(entries), applied)

    report = session.change(Verb("copy", anywhere=True, tables=False), _decide, work)
    moved, archived = done[-1]
    return Copied(report, source.shown, moved, source.left, source.waits, archived)


def _decide(look: Look) -> Plan:
    state, history = look.state, load()
    preflight.refuse_old_server(look.link)
    if look.link.schema is None or tenant.exists(look):
        refuse_elsewhere(state, look.shown)
    else:
        tenant.refuse_no_room(look)
    if state.kind is not Kind.EMPTY or not state.untouched or ECTO in state.tables:
        stands = f"is at {state.revision}" if state.revision else "has tables of this schema or of Ecto"
        raise UsageError(
            f"Schema '{state.schema}' of {look.link.database} {stands}, and a copy needs an empty place.",
            next_step=(
                "Name another one with --target-schema NAME. If all its rows may go, first run:"
                f" {command('drop')}"
            ),
        )
    return Plan("upgrade", None, history.head, history.revisions, snapshot=True)


def _fill(change: Change, source: Source, total: int) -> tuple[tuple[Moved, ...], int]:
    """Create the tables, write the rows, then create keys, indexes and triggers, and compare."""
    from diwa_schema.run.copy.rows import Loading, finished

    link, schema, progress = change.link, change.state.schema, change.session.progress

    def told(rows: int) -> None:
        progress.step("copying rows", rows, total or None)

    link.execute(pgvector.CREATE)
    parts = snapshot.parts(link)
    link.script(parts.tables)
    for rule in KEPT:
        if rule.name in source.waits and not rule.unique:
            link.execute(f"ALTER TABLE {qualified(schema, rule.table)} DROP CONSTRAINT {quoted(rule.name)}")
    loading = Loading(source, link, schema, told)
    progress.say(f"copying about {amount(total, 'row')}" if total else "copying the rows")
    told(0)
    loading.load()
    progress.say("the rows are copied; creating keys and indexes")
    try:
        for statement in parts.rest:
            if not any(f" INDEX {name} ON " in statement for name in source.waits):
                link.execute(statement)
    except Exception as error:
        if not is_driver_error(error) or connection_lost(error):
            raise
        raise finished(error, source) from error
    link.execute(f"ANALYZE {', '.join(qualified(schema, table) for table in loading.sums)}")
    progress.say("comparing the copy with its source")
    return loading.prove(), sum(loading.archived.values())
