"""The work of a fleet's process: one target after the other, each as by a single command."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import parent_process
from typing import TYPE_CHECKING, Any, NamedTuple

from diwa_schema.api.opening import reading, target_of
from diwa_schema.database import bookkeeping
from diwa_schema.database.reused import Reused
from diwa_schema.database.state import refuse_elsewhere
from diwa_schema.errors import NOTHING_CHANGED, DiwaSchemaError, command
from diwa_schema.fleet.report import Outcome, Result
from diwa_schema.fleet.targets import naming
from diwa_schema.migrations.manifest import load
from diwa_schema.names import amount
from diwa_schema.run.interruption import MOMENT, exit_code, interruption
from diwa_schema.run.session import Session

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from diwa_schema.fleet.targets import Member
    from diwa_schema.guard import Verdict
    from diwa_schema.run.settings import Settings

# The modules that each process needs, loaded once for all.
MODULES = (
    "diwa_schema.fleet.work",
    "diwa_schema.run.verbs.migrate",
    "diwa_schema.run.adopt.takeover",
    "diwa_schema.run.replay",
    "diwa_schema.run.snapshot",
    "diwa_schema.run.preflight",
    "diwa_schema.run.connections",
    "diwa_schema.migrations.revisions",
    "diwa_schema.database.alchemy",
    "diwa_schema.drift.check",
    "diwa_schema.drift.postgresql.read",
    "diwa_schema.fleet.digest",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "alembic.ddl.postgresql",
)
_SHOWN = 3


class Orders(NamedTuple):
    """The operation for every target of a run.

    Args:
        verb: One of `VERBS`.
        revision: The target of an upgrade or a plan.
        verdict: The guard's permission; None for operations that need none.
        settings: The timeouts and safety limits of the runs.
        renew: As for `diwa_schema.migrate`.
        fix: As for `diwa_schema.adopt`.
    """

    verb: str
    revision: str = "head"
    verdict: Verdict | None = None
    settings: Settings | None = None
    renew: str | None = None
    fix: bool = False


class Task(NamedTuple):
    """One target, with its operation and the known facts."""

    number: int
    member: Member
    orders: Orders
    known: Outcome


class Telling:
    """The progress of one run; only its messages are forwarded to the fleet.

    Args:
        send: Sends a message to the fleet.
        number: The number of the target.
    """

    def __init__(self, send: Callable[[tuple[Any, ...]], None], number: int) -> None:
        self._send = send
        self._number = number
        self.first: str | None = None
        self.last: str | None = None

    def say(self, line: str) -> None:
        """Forward the line."""
        self._send(("said", self._number, line))

    def revision(self, name: str, *_: int) -> None:
        """Note the first revision that began."""
        self.first = self.first or name.partition(" ")[0]

    def done(self, name: str, _: int) -> None:
        """Note the last revision that ended."""
        self.last = name.partition(" ")[0]

    def step(self, label: str, done: int, total: int | None, unit: str = "") -> None:
        """Ignore it."""


def upgrade(task: Task, told: Telling) -> Outcome:
    """Upgrade the target to a revision."""
    from diwa_schema.run.verbs import migrate

    report = migrate.upgrade(_session(task, told), task.orders.revision)
    return task.known._replace(
        result=Result.NOTHING if report.kind == "nothing" else Result.DONE,
        before=report.before,
        after=report.after,
        revisions=tuple(step.revision for step in report.applied),
        detail=" ".join(report.told),
    )


def adopt(task: Task, told: Telling) -> Outcome:
    """Take the target over."""
    from diwa_schema.run.adopt import takeover

    report = takeover.adopt(_session(task, told), fix=task.orders.fix)
    return task.known._replace(result=Result.DONE, before=report.before, after=report.after)


def plan(task: Task, _: Telling) -> Outcome:
    """Report the effects of an upgrade, and any obstacles."""
    from diwa_schema.api import plan as planned

    found = planned(task.member.url, task.orders.revision, schema=task.member.schema)
    ways = [one.what for one in found.obstacles]
    ways += [f"{one.what} depends on {one.column}" for one in found.dependents]
    ways += [str(one) for one in found.outdated or ()]
    ways += [f"{name} stalls: {why}" for name, why in found.stalls.items()]
    return task.known._replace(
        result=Result.PLANNED if found.revisions else Result.NOTHING,
        before=found.before,
        after=found.after,
        revisions=tuple(step.revision for step in found.revisions),
        detail=f"in the way: {_some(ways)}" if ways else "as one snapshot" if found.snapshot else "",
    )


def check(task: Task, _: Telling) -> Outcome:
    """Report the target's differences from the expected schema."""
    from diwa_schema.drift import check as drift

    with reading(task.member.url, None, task.member.schema) as link:
        found = [one for one in drift.check(link) if one.severity == "drift"]
    if not found:
        if _at_head(task):
            return task.known._replace(result=Result.CURRENT)
        where = task.known.before
        none = "it has no part of the schema, so nothing was compared"
        detail = none if where is None else f"no difference from revision {where}, which is behind head"
        return task.known._replace(result=Result.DONE, detail=detail)
    return task.known._replace(
        result=Result.DIFFERS,
        exit_code=1,
        detail=f"{amount(len(found), 'difference')}: {_some([one.text for one in found])}"
        f". All of them: {command('check')}",
    )


def digest(task: Task, _: Telling) -> Outcome:
    """Report the fingerprint of the target."""
    from diwa_schema.fleet.digest import fingerprint

    with reading(task.member.url, None, task.member.schema) as link:
        # A missing schema would have the fingerprint of an empty one, and be compared with the others.
        refuse_elsewhere(bookkeeping.look(link), task.member.shown)
        found = fingerprint(link)
    return task.known._replace(result=Result.DONE, digest=found)


# The connections of this process, which the next target of the same database uses.
_REUSED = Reused()


VERBS: dict[str, Callable[[Task, Telling], Outcome]] = {
    "upgrade": upgrade,
    "adopt": adopt,
    "plan": plan,
    "check": check,
    "digest": digest,
}


def run(task: Task, told: Telling) -> Outcome:
    """Run a task; any error becomes the outcome of its target and affects no other target."""
    clock = time.monotonic()
    MOMENT.set(None)
    with naming(task.member):
        try:
            outcome = VERBS[task.orders.verb](task, told)
        except DiwaSchemaError as error:
            outcome = _reached(task, told).broken(error)
        except KeyboardInterrupt as error:
            outcome = _reached(task, told, interrupted=True)._replace(
                result=Result.INTERRUPTED, exit_code=exit_code(error), detail=_fate()
            )
        except Exception as error:  # noqa: BLE001 - the others go on
            outcome = _reached(task, told).broken(_unexpected(error))
    took = round((time.monotonic() - clock) * 1000)
    plain = outcome.error and json.loads(json.dumps(outcome.error, default=str))
    return outcome._replace(milliseconds=took, error=plain)


def _fate() -> str:
    """Return the effect of an interruption on the target."""
    moment = MOMENT.get()
    return f"Interrupted {moment.during}. {moment.untouched}" if moment else NOTHING_CHANGED


def _reached(task: Task, told: Telling, *, interrupted: bool = False) -> Outcome:
    """Return what is known of a target whose run did not reach its end: the revisions before the end are applied."""
    if task.orders.verb != "upgrade" or not (told.first or interrupted):
        return task.known
    history = load()
    before = history.get(told.first).down_revision if told.first else task.known.before
    after = told.last or before
    # A revision may have been committed without a report of it: the database knows.
    with suppress(DiwaSchemaError), reading(task.member.url, None, task.member.schema) as link:
        after = bookkeeping.look(link).revision
    if not all(one is None or one in history for one in (before, after)):
        return task.known
    applied = tuple(step.revision for step in history.between(before, after))
    return task.known._replace(before=before, after=after, revisions=applied)


def serve(connection: Connection) -> None:
    """Take tasks from a connection until it is closed.

    A signal ends the running task like a single command, and so does the end of the fleet's own process, which may be
    killed. A second signal has no effect, because the task must clean up.
    """
    stop = _Stop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), stop)
    threading.Thread(target=_end_with_the_fleet, name="diwa-schema fleet", daemon=True).start()
    sending = threading.Lock()

    def send(message: tuple[Any, ...]) -> None:
        # A run has several threads that report, and goes on if nobody listens any more.
        with sending, suppress(OSError):
            connection.send(message)

    with suppress(EOFError, OSError):
        send(("ready",))
        while not stop.asked:
            if not connection.poll(1.0):
                continue
            task: Task = connection.recv()
            send(("ended", task.number, stop.run(task, Telling(send, task.number))))
    _REUSED.close()


def _end_with_the_fleet() -> None:
    """End this process like SIGTERM when the process of the fleet has ended; the system tells no child of it."""
    if (fleet := parent_process()) is not None:
        fleet.join()
        os.kill(os.getpid(), signal.SIGTERM)


class _Stop:
    """A signal handler: it interrupts the running task, or ends the process before the next one."""

    def __init__(self) -> None:
        self.asked = False
        self._number = signal.SIGINT.value
        self._at_work = False

    def run(self, task: Task, told: Telling) -> Outcome:
        """Run a task that a signal can interrupt."""
        try:
            self._at_work = True
            outcome = self._interrupted(task) if self.asked else run(task, told)
            self._at_work = False
        except KeyboardInterrupt:
            self._at_work = False
            return self._interrupted(task)
        return outcome

    def _interrupted(self, task: Task) -> Outcome:
        code = exit_code(interruption(self._number))
        return task.known._replace(result=Result.INTERRUPTED, exit_code=code)

    def __call__(self, number: int, _: object) -> None:
        if self.asked:
            return
        self.asked, self._number = True, number
        if self._at_work:
            raise interruption(number)


def _session(task: Task, told: Telling) -> Session:
    from diwa_schema.run.settings import Settings

    orders = task.orders
    assert orders.verdict is not None  # noqa: S101 - the guard was asked before the run began
    target = target_of(task.member.url, None, task.member.schema)
    target.reused = _REUSED
    return Session(target, orders.verdict, orders.settings or Settings(), told, orders.renew)


def _at_head(task: Task) -> bool:
    return task.known.before == load().head


def _some(texts: list[str]) -> str:
    return "; ".join(texts[:_SHOWN]) + (f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else "")


def _unexpected(error: Exception) -> DiwaSchemaError:
    from diwa_schema.database.spelling import mask

    return DiwaSchemaError(
        f"This is a bug in diwa-schema: {type(error).__name__}: {mask(str(error))}",
        untouched="The progress of the run is unknown.",
        next_step=f"Run {command('status')} to see the state of this target, and report this message.",
    )
