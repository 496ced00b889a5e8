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
    "Without a phase nobody knows whether running code survives the revision.",
    f'phase = "expand"\nfloor = None\n\n\n{_ADD}',
)
FLOOR = rule(
    "floor-missing",
    "A contract revision without a floor lets incompatible code start.",
    f'phase = "contract"\nfloor = "{{revision}}"\n\n\n{_ADD}',
)
STEP_IN_TRANSACTION = rule(
    "step-in-transaction",
    "In a transactional revision, a step builds its index inside the transaction, and every write waits.",
    _STEP,
)
NO_STEP = rule(
    "no-step",
    "A revision outside a transaction is exactly one step, which a second run finishes. The run refuses one"
    " without a step.",
    _ADD,
)
SEVERAL = rule(
    "several-steps",
    "A kill between two steps would leave a revision outside a transaction half applied, so the run refuses"
    " it.",
    _STEP,
    step('create_index_concurrently("ANOTHER", "TABLE", ["COLUMN"])'),
)
BESIDE = rule(
    "statement-beside-step",
    "A statement beside a step commits on its own. After a kill, the second run fails at it, for example"
    " with DuplicateColumn.",
    _ADD,
    _STEP,
)
ORDER = rule(
    "id-out-of-order",
    "Ids are UTC times in the order of the history. A database beyond an id that is out of order never runs"
    " its revision.",
    f"# the id, also as the beginning of the file's name: date -u +%Y%m%d%H%M%S\n{_ADD}",
)
HEADS = rule(
    "two-heads",
    "Two revisions after the same one give the history two ends, and no database can be at both.",
    f"# down_revision is the last revision: diwa-schema history\n{_ADD}",
)
PRINTED = rule(
    "cannot-be-printed",
    "A revision that queries the database has no SQL to print (--sql), and lint cannot judge its effect.",
    _ADD,
)


def check(source: Source, traces: list[Trace]) -> Iterator[Finding]:
    """Yield the faults of a revision in its declarations."""
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
    # A downgrade may have nothing to do.
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
    """Return the records of safe steps, which `steps.step` wraps."""
    return [
        record
        for record in trace.records
        if record.helper and hasattr(getattr(steps, record.helper, None), "__wrapped__")
    ]
