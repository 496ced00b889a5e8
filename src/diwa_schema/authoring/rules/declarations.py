"""The declarations of a revision: its id, its phase, and whether it is one step or one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from diwa_schema.authoring.record import Record, Trace
from diwa_schema.authoring.rule import Finding, plain, rule, step
from diwa_schema.authoring.source import Source
from diwa_schema.migrations import steps

_STEP = step('create_index_concurrently("NAME", "TABLE", ["COLUMN"])')
_ADD = plain('op.add_column("TABLE", sa.Column("COLUMN", LongText()))')

PHASE = rule(
    "phase-missing",
    "Without a phase nobody knows whether code that runs today survives the revision.",
    f'phase = "expand"\nfloor = None\n\n\n{_ADD}',
)
FLOOR = rule(
    "floor-missing",
    "A contract revision without a floor lets code start that it breaks.",
    f'phase = "contract"\nfloor = "{{revision}}"\n\n\n{_ADD}',
)
STEP_IN_TRANSACTION = rule(
    "step-in-transaction",
    "In a transactional revision a step does its work plainly: the index is built inside the transaction, and"
    " every write waits.",
    _STEP,
)
NO_STEP = rule(
    "no-step",
    "A revision that is not transactional is one step, which running it again finishes; without one it is refused"
    " at run time.",
    _ADD,
)
SEVERAL = rule(
    "several-steps",
    "Killed between two steps, a revision that is not transactional stands at no boundary; it is refused at run"
    " time.",
    _STEP,
    step('create_index_concurrently("ANOTHER", "TABLE", ["COLUMN"])'),
)
BESIDE = rule(
    "statement-beside-step",
    "A statement beside a step is committed on its own: killed after it, the revision fails when it runs again, with"
    " DuplicateColumn for one.",
    _ADD,
    _STEP,
)
ORDER = rule(
    "id-out-of-order",
    "Ids are UTC times and sort in the order of the history; one that does not is passed over on a database that"
    " is further.",
    f"# the id, also as the beginning of the file's name: date -u +%Y%m%d%H%M%S\n{_ADD}",
)
HEADS = rule(
    "two-heads",
    "Two revisions that go on from the same one leave two ends, and no database can be at both.",
    f"# down_revision is the last revision: diwa-schema history\n{_ADD}",
)
PRINTED = rule(
    "cannot-be-printed",
    "A revision that asks the database before it acts has no SQL that somebody could read first (--sql), and"
    " nothing here can be said about what it does.",
    _ADD,
)


def check(source: Source, traces: list[Trace]) -> Iterator[Finding]:
    """Yield what is wrong with what a revision says about itself."""
    yield from _place(source)
    phase = source.declared("phase")
    if phase not in ("expand", "contract"):
        yield PHASE.found(source, source.line("phase"))
    elif phase == "contract" and not source.declared("floor"):
        yield FLOOR.found(source, source.line("floor"))
    for trace in traces:
        if trace.failure is not None:
            yield PRINTED.found(source, source.line(trace.function))
        elif source.declared("transactional", True):
            if trace.steps:
                record = next(iter(_of_steps(trace)), None)
                line = record.line if record else source.line(trace.function)
                yield STEP_IN_TRANSACTION.found(source, line, record.table if record else None)
        else:
            yield from _not_transactional(source, trace)


def _place(source: Source) -> Iterator[Finding]:
    before = source.declared("down_revision")
    if not isinstance(before, str | None) or before in source.siblings:
        yield HEADS.found(source, source.line("down_revision"))
        return
    named = source.path.name.startswith(f"{source.revision}_")
    if not (_is_time(source.revision) and named and source.revision > (before or "")):
        yield ORDER.found(source, source.line("revision"))


def _is_time(revision: str) -> bool:
    try:
        return datetime.strptime(revision, "%Y%m%d%H%M%S").strftime("%Y%m%d%H%M%S") == revision  # noqa: DTZ007
    except ValueError:
        return False


def _not_transactional(source: Source, trace: Trace) -> Iterator[Finding]:
    # On the way back there may be nothing to do.
    if not trace.steps and trace.function == "upgrade":
        yield NO_STEP.found(source, source.line("transactional"))
    elif len(trace.steps) > 1:
        lines = [record.line for record in _of_steps(trace)]
        yield SEVERAL.found(source, lines[-1] if lines else source.line(trace.function))
    elif trace.steps:
        for record in trace.records:
            if record.helper not in trace.steps:
                yield BESIDE.found(source, record.line, record.table)
                return


def _of_steps(trace: Trace) -> list[Record]:
    """Return the records of safe steps, which `steps.step` has wrapped."""
    return [
        record
        for record in trace.records
        if record.helper and hasattr(getattr(steps, record.helper, None), "__wrapped__")
    ]
