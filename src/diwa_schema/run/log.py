"""The log records and trace spans of a run for the surrounding program.

The logger is ``diwa_schema``. Each record has an attribute ``diwa`` with the same facts that ``--log-format json``
prints. Without a handler in the program nothing is printed. Spans are created only in a process that has already loaded
OpenTelemetry: this package neither needs nor loads it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from diwa_schema.errors import DiwaSchemaError
from diwa_schema.run.interruption import exit_code
from diwa_schema.run.settings import ROWS, Progress

if TYPE_CHECKING:
    from diwa_schema.database.ledger import Run

LOGGER = logging.getLogger("diwa_schema")
LOGGER.addHandler(
    logging.NullHandler()
)  # otherwise a program without logging would see warnings on its stderr


def write(level: int, message: str, event: str, **facts: Any) -> None:
    """Write a record; a fact that is None is left out."""
    if LOGGER.isEnabledFor(level):
        known = {name: value for name, value in facts.items() if value is not None}
        LOGGER.log(level, "%s", message, extra={"diwa": {"event": event, **known}})


class Logged:
    """A receiver of progress that logs it and passes it on.

    Args:
        progress: The next receiver.
        database: The masked URL.
    """

    def __init__(self, progress: Progress, database: str) -> None:
        self._progress = progress
        self._database = database

    def say(self, line: str) -> None:
        """Log a line for people as a warning."""
        write(logging.WARNING, line, "notice", database=self._database)
        self._progress.say(line)

    def revision(self, name: str, number: int, total: int) -> None:
        """Log the start of a revision."""
        facts = {"revision": name.partition(" ")[0], "number": number, "total": total}
        write(logging.INFO, f"{name} begins", "revision_began", database=self._database, **facts)
        self._progress.revision(name, number, total)

    def done(self, name: str, milliseconds: int) -> None:
        """Log the end of a revision."""
        facts = {"revision": name.partition(" ")[0], "milliseconds": milliseconds}
        message = f"{name} ended after {milliseconds} ms"
        write(logging.INFO, message, "revision_ended", database=self._database, **facts)
        self._progress.done(name, milliseconds)

    def step(self, label: str, done: int, total: int | None, unit: str = ROWS) -> None:
        """Log the progress of a step; it comes often, so only with the level debug."""
        facts = {"step": label, "done": done, "total": total, "unit": unit}
        of = "" if total is None else f" of {total}"
        write(logging.DEBUG, f"{label}: {done}{of} {unit}", "step", database=self._database, **facts)
        self._progress.step(label, done, total, unit)


@contextmanager
def logged_run(database: str, schema: str, before: str | None, run: Run) -> Iterator[None]:
    """Log the start and the end of a run, and make it a span.

    Args:
        database: The masked URL.
        schema: The schema of the tables.
        before: Its first revision.
        run: Its facts for the ledger.
    """
    facts = {
        "database": database,
        "schema": schema or None,
        "run_id": run.run_id,
        "kind": run.kind,
        "repository": run.repository,
        "bypass": run.bypass,
    }
    began = time.monotonic()
    write(logging.INFO, f"{run.kind} of {database} begins", "run_began", revision=before, **facts)
    try:
        with span(f"diwa_schema {run.kind}", **facts):
            yield
    except BaseException as error:
        name = type(error).__name__
        ended_by_us = isinstance(error, DiwaSchemaError | KeyboardInterrupt)
        code = exit_code(error) if ended_by_us else None
        ended = {"error": name, "exit_code": code, "milliseconds": _since(began)}
        write(logging.ERROR, f"{run.kind} of {database} failed: {name}", "run_failed", **facts, **ended)
        raise
    write(logging.INFO, f"{run.kind} of {database} ended", "run_ended", milliseconds=_since(began), **facts)


@contextmanager
def span(name: str, **facts: Any) -> Iterator[None]:
    """Make the block a span of OpenTelemetry, if the process has loaded it.

    An error is named by its class, because the message of a driver may contain values of rows.
    """
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        yield
        return
    known = {f"diwa_schema.{key}": value for key, value in facts.items() if value is not None}
    tracer = trace.get_tracer("diwa_schema")
    with tracer.start_as_current_span(
        name, attributes=known, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_attribute("error.type", type(error).__name__)
            current.set_status(trace.StatusCode.ERROR)
            raise


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
