"""Taking over a database that Ecto migrated: recognise it, verify it, record its revision."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from diwa_schema.database.state import Kind, refuse_elsewhere, refuse_unknown
from diwa_schema.drift import check
from diwa_schema.errors import NOTHING_CHANGED, DatabaseRefused, SchemaEmpty, command
from diwa_schema.migrations.ecto import LAST
from diwa_schema.migrations.manifest import load
from diwa_schema.migrations.revisions import load as load_module
from diwa_schema.names import amount
from diwa_schema.run import losses, preflight
from diwa_schema.run.adopt import ecto, lineage, variants
from diwa_schema.run.adopt.variants import Variant
from diwa_schema.run.plan import Plan
from diwa_schema.run.session import Look, Session, Verb, Written
from diwa_schema.run.settings import Applied, Report, Settings

if TYPE_CHECKING:
    from diwa_schema.database.ledger import Entry
    from diwa_schema.drift.report import Difference
    from diwa_schema.run.change import Change

# The revisions that create tala_operations, for a database on which somebody marked them as done.
_BUFFER = (variants.BUFFER, "20260119152124")


@dataclass(frozen=True, slots=True)
class Adoption:
    """The findings in a database that Ecto created, and the steps of its takeover.

    Args:
        database: The masked URL.
        variant: Its shape.
        differences: Its differences from that shape; a takeover needs a database without any.
        upgrade: The plan of the upgrade after it; None before a check.
    """

    database: str
    variant: Variant
    differences: tuple[Difference, ...]
    upgrade: Plan | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps of the takeover, a sentence each."""
        steps = []
        if self.variant.buffer:
            moment = "now" if (self.variant.revision or "") >= variants.BUFFER else "by an upgrade"
            steps.append(f"keep the agent's own tala_operations; it gets its new shape {moment}")
        if self.variant.reshape:
            steps.append(
                f"set {amount(len(lineage.TABLES), 'table')} of the first lineage aside and copy"
                " their rows into new ones"
            )
        steps.append(f"record revision {self.variant.revision or 'base'} as its revision")
        return tuple(steps)

    @property
    def unsafe(self) -> tuple[Difference, ...]:
        """The differences that a run does not fix by itself."""
        return tuple(one for one in self.differences if not one.fixable)

    @property
    def next_step(self) -> str:
        """The next step of a database with differences."""
        fix, left = command("adopt --fix"), len(self.unsafe)
        if not left:
            return f"Run: {fix}; it runs these statements, which are safe on a live table."
        if left == len(self.differences):
            return f"Decide on each difference and run its statement, then run: {command('adopt')}"
        return (
            f"Decide on {'the one' if left == 1 else f'the {left}'} that {'is' if left == 1 else 'are'} not safe on a"
            f" live table and run the statement, then run: {fix}; it runs the others."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as a document for ``--json``."""
        return {
            "database": self.database,
            "variant": asdict(self.variant),
            "steps": list(self.steps),
            "differences": [difference.as_dict() for difference in self.differences],
            "upgrade": self.upgrade and self.upgrade.as_dict(),
        }


def recognise(look: Look) -> Adoption:
    """Return the variant of a database and the steps of its takeover; nothing is changed.

    Raises:
        SchemaEmpty: There is nothing to take over.
        DatabaseRefused: It is not one that Ecto's migrations can have made.
    """
    state, shown = look.state, look.shown
    refuse_elsewhere(state, shown)
    if state.kind is Kind.EMPTY:
        raise SchemaEmpty(
            f"{shown} is empty, so there is nothing to take over.", next_step=f"Run: {command('upgrade')}"
        )
    if state.kind is not Kind.ECTO:
        refuse_unknown(state, load(), shown)
        raise DatabaseRefused(
            f"{shown} is already at revision {state.revision}.", next_step=f"Run: {command('status')}"
        )
    known = tuple(name for name in load().ids if name <= LAST)
    variant = variants.recognise(state.ecto or (), known, shown, agents_buffer=_of_the_agent(look))
    return Adoption(look.link.database, variant, _differences(look, variant))


def examine(look: Look) -> Adoption:
    """Return the steps of a takeover, and the obstacles for the upgrade after it.

    Raises:
        SchemaEmpty: There is nothing to take over.
        DatabaseRefused: It is not one that Ecto's migrations can have made, or its server is too old.
    """
    found, history = recognise(look), load()
    pending = history.between(found.variant.revision, history.head)
    upgrade = Plan("upgrade", found.variant.revision, history.head, pending)
    return replace(found, upgrade=preflight.to_read(upgrade, *look, Settings()))


def adopt(session: Session, *, fix: bool) -> Report:
    """Take a database over in one transaction.

    Raises:
        DatabaseRefused: It differs from its variant; the message lists each difference.
        SchemaEmpty: There is nothing to take over.
    """

    def decide(look: Look) -> Adoption:
        found = recognise(look)
        preflight.refuse_without_rights(look, _changed(found.variant))
        # A run that cannot end with the takeover fixes nothing either, so that each fix has an entry in the ledger.
        if not fix or found.unsafe:
            _refuse_differences(found, look.shown)
        return found

    def work(change: Change, found: Adoption) -> Written:
        if not (fix and found.differences):
            return take(change, found)
        with change.begun():
            fixed = check.fix(change.link, found.differences, change.paced)
            for one in fixed:
                session.progress.say(f"fixed: {one.text}")
            found = recognise(change.look)
            told = f"The run fixed {amount(len(fixed), 'other difference')} and took nothing over."
            _refuse_differences(found, change.look.shown, told)
            written = take(change, found)
        return written._replace(entries=written.entries + 1)

    def take(change: Change, found: Adoption) -> Written:
        taking = _Taking(change, found.variant)
        revision = found.variant.revision
        timeout = session.settings.build_timeout
        with change.op():
            change.at_once(taking.run, after=revision, entries=taking.entries, timeout=timeout)
        for line in taking.notes:
            session.progress.say(line)
        applied = tuple(Applied(step, load().get(step).slug, 0) for step, _ in taking.entries if step)
        return Written(revision, len(taking.entries), applied)

    return session.change(Verb("adopt"), decide, work)


def _changed(variant: Variant) -> tuple[str, ...]:
    """Return the tables that taking a variant over changes; Ecto's list is kept from then on in any case."""
    if variant.reshape:
        return lineage.TABLES
    return ("tala_operations",) if variant.buffer else ()


class _Taking:
    """The transaction of a takeover; it is repeated as a whole if a table is in use."""

    def __init__(self, change: Change, variant: Variant) -> None:
        self._change = change
        self._variant = variant
        self._steps = load().until(variant.revision)
        self.entries: list[Entry] = [(step.revision, step.sha256) for step in self._steps] or [(None, None)]
        self.notes: list[str] = []

    def run(self) -> None:
        self._set_right()
        keeper = ecto.Keeper(self._change.books, active=True)
        missing = {int(step.revision) for step in self._steps} - set(self._change.state.ecto or ())
        for number in sorted(missing):
            keeper.record(str(number), applied=True)
        keeper.keep()

    def _set_right(self) -> None:
        revision = self._variant.revision or ""
        if self._variant.reshape:
            rebuild = lineage.Rebuild(self._change.look)
            rebuild.run()
            self.notes = rebuild.unfit
            return
        if self._variant.buffer:
            for step in _BUFFER:
                if step <= revision:
                    load_module(load().get(step)).upgrade()


def _of_the_agent(look: Look) -> bool:
    """Return whether the agent created tala_operations: only then a tool call needs a context."""
    if "tala_operations" not in look.state.tables:
        return False
    if look.link.dialect == "sqlite":
        return bool(
            look.link.value(
                "SELECT \"notnull\" FROM pragma_table_info('tala_operations') WHERE name = 'context_id'"
            )
        )
    return bool(
        look.link.value(
            "SELECT attnotnull FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relname = 'tala_operations' AND a.attname = 'context_id'",
            (look.state.schema,),
        )
    )


def _differences(look: Look, variant: Variant) -> tuple[Difference, ...]:
    if variant.reshape:
        _refuse_other_lineages(look)
    if variant.reshape or variant.revision is None:
        return ()
    found = check.compare_at(look.link, variant.revision)
    return tuple(
        one
        for one in found
        if one.severity == "drift" and not (variant.buffer and one.table == "tala_operations")
    )


def _refuse_differences(found: Adoption, shown: str, untouched: str = NOTHING_CHANGED) -> None:
    if not found.differences:
        return
    lines = [
        line for one in found.differences for line in (f"  {one.text}", *(f"    {way}" for way in one.way()))
    ]
    raise DatabaseRefused(
        f"{shown} differs from the variant '{found.variant.name}': {amount(len(found.differences), 'difference')}.\n"
        + "\n".join(lines),
        untouched=untouched,
        next_step=found.next_step,
        differences=[one.as_dict() for one in found.differences],
    )


def _refuse_other_lineages(look: Look) -> None:
    missing = [table for table in lineage.TABLES if not losses.columns(look, table)]
    if missing:
        raise DatabaseRefused(
            f"Ecto recorded the agent's first lineage on {look.shown}, but these tables of it are missing:"
            f" {', '.join(missing)}.",
            next_step="Restore a complete copy of the database, then run the command again.",
            missing=missing,
        )
