"""Upgrade and downgrade: bringing a database to another revision of the history."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from diwa_schema.database import presence
from diwa_schema.database.ecto_list import refuse_changed_list
from diwa_schema.database.state import State
from diwa_schema.migrations import characters, manifest
from diwa_schema.run import embeddings, integrity, plan
from diwa_schema.run.plan import Plan
from diwa_schema.run.session import Look, Session, Verb, Written
from diwa_schema.run.settings import Report

if TYPE_CHECKING:
    from diwa_schema.run.change import Change

_FRESH = 1.0  # seconds


def upgrade(session: Session, revision: str) -> Report:
    """Bring the database up to a revision."""
    history = manifest.load()
    installed = integrity.installed(history)
    allowed = _Allowed(session)

    def decide(look: Look) -> Plan | None:
        decided = wanted(look.state, revision, look.shown, replay=session.settings.replay)
        integrity.verify(look, history, installed)
        return allowed(look, decided)

    return session.change(Verb("migrate"), decide, _work)


def wanted(state: State, revision: str, shown: str, *, replay: bool = False) -> Plan:
    """Return what an upgrade is to do to a database, told by where it stands alone.

    Raises:
        UnknownRevision: The history has no such revision.
        DiwaSchemaError: No run may begin from where it stands.
    """
    decided = plan.upgrade(state, manifest.load(), revision, shown, replay=replay)
    refuse_changed_list(state, shown)
    presence.refuse_missing(state, shown)
    return decided


def downgrade(session: Session, revision: str, confirm: str | None = None) -> Report:
    """Reverse revisions down to one; where rows would be lost, `confirm` must name what loses them."""
    from diwa_schema.run import losses

    history = manifest.load()
    allowed = _Allowed(session)

    def decide(look: Look) -> Plan | None:
        decided = plan.downgrade(look.state, history, revision, look.shown)
        # Before the count of rows, which needs the same rights.
        noted = allowed(look, decided)
        losses.confirm(look, losses.of(look, decided.revisions), confirm)
        return noted

    def work(change: Change, decided: Plan) -> Written:
        back = [column for one in decided.revisions for column in one.retypes_back]
        tables = {column.partition(".")[0] for column in back if column.endswith(f".{characters.COLUMN}")}
        written = _work(change, decided)
        return written._replace(notes=embeddings.refused(change.link, change.state.schema, tables))

    return session.change(Verb("migrate", "downgrade"), decide, work)


class _Allowed:
    """The plans of a run's two looks: each is refused if something is in its way.

    Rights and columns of the first look count for the second one, if the lock was free and the state has stayed the
    same: less than a second lies between both. Releases that have just connected count, so a plan that breaks releases
    is examined twice.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._first: tuple[Plan, State, Plan, float] | None = None

    def __call__(self, look: Look, decided: Plan) -> Plan | None:
        """Return the plan with its notes, or None if it has nothing to do."""
        if not decided.revisions:
            return None
        if self._first is not None:
            before, state, noted, moment = self._first
            if (before, state) == (decided, look.state) and time.monotonic() - moment < _FRESH:
                return noted
        from diwa_schema.run import preflight

        settings = self._session.settings
        noted = preflight.noted(decided, look.link, look.state, settings)
        preflight.refuse(noted, look.shown, allow_stall=settings.allow_stall)
        if not any(one.floor for one in decided.revisions):
            self._first = decided, look.state, noted, time.monotonic()
        return noted


def _work(change: Change, decided: Plan) -> Written:
    if decided.outdated is None:
        from diwa_schema.database.releases import UNSEEN

        change.session.progress.say(UNSEEN)
    if decided.snapshot:
        from diwa_schema.run import snapshot

        return snapshot.apply(change, decided)
    from diwa_schema.run.replay import Replay

    return Replay(change, decided).run()
