"""Taking over a database that Ecto migrated: recognise it, verify it, record where it stands."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from diwa_schema.database import ledger, version
from diwa_schema.drift import check
from diwa_schema.errors import DatabaseRefused, SchemaEmpty, command
from diwa_schema.migrations.manifest import load
from diwa_schema.migrations.revisions import load as load_module
from diwa_schema.migrations.revisions import operations
from diwa_schema.migrations.steps import aside
from diwa_schema.names import quoted
from diwa_schema.run import losses
from diwa_schema.run.adopt import ecto, lineage, variants
from diwa_schema.run.adopt.variants import Variant
from diwa_schema.run.settings import Applied, Report

if TYPE_CHECKING:
    import sqlalchemy as sa

    from diwa_schema.database.link import Link
    from diwa_schema.drift.difference import Difference
    from diwa_schema.run.session import Runner

# The revisions that make tala_operations, for a database on which somebody marked them as done.
_BUFFER = ("20260117075000", "20260119152124")
# What the code of some date made of an embedding column; the converge revisions bring it to one shape.
_EMBEDDINGS = {("memories", "embedding"), ("embedding_cache", "embedding")}
_EMBEDDING_TYPES = {"bytea", "vector(384)", "vector(1536)"}


@dataclass(frozen=True, slots=True)
class Adoption:
    """What was found in a database that Ecto made, and what taking it over would do.

    Args:
        database: The masked URL.
        variant: The shape it is in.
        differences: Where it differs from that shape; it is taken over only without any.
    """

    database: str
    variant: Variant
    differences: tuple[Difference, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """What taking it over would do, a sentence each."""
        steps = [f"keep the agent's own {table} aside, with its rows" for table in self.variant.aside]
        if self.variant.reshape:
            steps.append(
                f"keep {len(lineage.TABLES)} tables of the first lineage aside and copy their rows into new ones"
            )
        steps.append(f"record revision {self.variant.revision or 'base'} as where it stands")
        return tuple(steps)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as a document for ``--json``."""
        return {
            "database": self.database,
            "variant": asdict(self.variant),
            "steps": list(self.steps),
            "differences": [difference.as_dict() for difference in self.differences],
        }


def examine(link: Link, state: version.State) -> Adoption:
    """Say what a database is and what taking it over would do; nothing is changed.

    Raises:
        SchemaEmpty: There is nothing to take over.
        DatabaseRefused: It is not one that Ecto's migrations can have made.
    """
    if state.kind is version.Kind.EMPTY:
        raise SchemaEmpty(
            f"{link.shown} is empty: there is nothing to take over.", next_step=f"Run: {command('upgrade')}"
        )
    if state.kind is not version.Kind.ECTO:
        version.refuse_unknown(state, load(), link.shown)
        raise DatabaseRefused(
            f"{link.shown} is at revision {state.revision} already.", next_step=f"Run: {command('status')}"
        )
    known = tuple(name for name in load().ids if name <= ecto.LAST)
    of_agent = ["tala_operations"] if _of_the_agent(link, state) else []
    variant = variants.recognise(state.ecto or (), known, of_agent, link.shown)
    return Adoption(link.shown, variant, _differences(link, state, variant))


def adopt(runner: Runner, *, mend: bool) -> Report:
    """Take a database over in one transaction.

    Raises:
        DatabaseRefused: It differs from the shape it is told to be; each difference is listed.
        SchemaEmpty: There is nothing to take over.
    """
    from diwa_schema.database.alchemy import connection_over

    with runner.explained(), runner.target.work() as link:
        runner.look(link)
        with runner.locked(link, version.read(link).schema) as held:
            state = runner.look(link)
            found = examine(link, state)
            if mend and found.differences:
                check.mend(link, found.differences, runner.pace(link, held, state.schema))
                found = examine(link, state)
            _refuse_differences(found)
            run = runner.ledger_run("adopt")
            with connection_over(link) as connection:
                pace = runner.pace(link, held, state.schema, connection)
                work = _Taking(link, state, found.variant, run)
                entries = pace.short(work.run, timeout=runner.settings.build_timeout)
        for line in work.notes:
            runner.progress.say(line)
        runner.prove(link, state.schema, run, found.variant.revision, len(entries))
        applied = tuple(Applied(step, load().get(step).slug, 0) for step, _ in entries if step)
        return Report(link.shown, None, found.variant.revision, run.kind, applied, run.bypass, run.run_id)


class _Taking:
    """The transaction that takes a database over; run again as a whole when a table is in use."""

    def __init__(self, link: Link, state: version.State, variant: Variant, run: ledger.Run) -> None:
        self._link = link
        self._state = state
        self._variant = variant
        self._run = run
        self.notes: list[str] = []

    def run(self, connection: sa.Connection) -> list[tuple[str | None, str | None]]:
        began, clock = ledger.now(), time.monotonic()
        revision = self._variant.revision
        with operations(connection, {}):
            self._set_right()
        ledger.create(self._link)
        if version.VERSION not in self._state.tables:
            version.create(self._link)
        if revision is not None:
            version.advance(self._link, None, revision, load().floor(revision))
        steps = load().until(revision)
        keeper = ecto.Keeper(active=True)
        missing = {int(step.revision) for step in steps} - set(self._state.ecto or ())
        for number in sorted(missing):
            keeper.record(self._link, str(number), applied=True)
        entries: list[tuple[str | None, str | None]] = [(step.revision, step.sha256) for step in steps] or [
            (None, None)
        ]
        ledger.record(self._link, self._run, entries, began, round((time.monotonic() - clock) * 1000))
        return entries

    def _set_right(self) -> None:
        if self._variant.reshape:
            rebuild = lineage.Rebuild(self._link, self._state)
            rebuild.run()
            self.notes = rebuild.unfit
            return
        for table in self._variant.aside:
            aside.make_room(table)
        if "tala_operations" in self._variant.aside and (self._variant.revision or "") >= _BUFFER[0]:
            for revision in _BUFFER:
                if revision <= (self._variant.revision or ""):
                    load_module(load().get(revision)).upgrade()


def _of_the_agent(link: Link, state: version.State) -> bool:
    """Tell whether tala_operations is the agent's: only there a tool call has to have a context."""
    if "tala_operations" not in state.tables:
        return False
    if link.dialect == "sqlite":
        return bool(
            link.value(
                "SELECT \"notnull\" FROM pragma_table_info('tala_operations') WHERE name = 'context_id'"
            )
        )
    return bool(
        link.value(
            "SELECT attnotnull FROM pg_attribute WHERE attname = 'context_id' AND attrelid = to_regclass(%s)",
            (f"{quoted(state.schema)}.tala_operations",),
        )
    )


def _differences(link: Link, state: version.State, variant: Variant) -> tuple[Difference, ...]:
    if variant.reshape:
        _refuse_other_lineages(link, state)
    if variant.reshape or variant.revision is None:
        return ()
    found = check.compare_at(link, variant.revision)
    return tuple(
        one
        for one in found
        if one.severity == "drift"
        and one.table not in variant.aside
        and not _known_embedding(link, state, one)
    )


def _known_embedding(link: Link, state: version.State, one: Difference) -> bool:
    if link.dialect == "sqlite" or (one.table, one.object) not in _EMBEDDINGS or one.problem != "changed":
        return False
    kind = link.value(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s",
        (f"{quoted(state.schema)}.{one.table}", one.object),
    )
    return str(kind).rpartition(".")[2] in _EMBEDDING_TYPES


def _refuse_differences(found: Adoption) -> None:
    if not found.differences:
        return
    lines = [f"  {one.text}\n    {one.statement or one.mend.caution}" for one in found.differences]
    raise DatabaseRefused(
        f"{found.database} is not what the {found.variant.name} left: {len(found.differences)} differences.\n"
        + "\n".join(lines),
        next_step=f"Run the statements, or run {command('adopt --mend')} for those that are safe on a live table.",
        differences=[one.as_dict() for one in found.differences],
    )


def _refuse_other_lineages(link: Link, state: version.State) -> None:
    missing = [table for table in lineage.TABLES if not losses.columns(link, state, table)]
    if missing:
        raise DatabaseRefused(
            f"Ecto recorded the agent's first lineage on {link.shown}, but these tables of it are missing:"
            f" {', '.join(missing)}.",
            next_step="Restore a complete copy of the database, then run the command again.",
            missing=missing,
        )
