"""Where the schema stands, and who brought it there past the guard."""

from __future__ import annotations

import re
from collections.abc import Iterator

from diwa_schema.health import startup as start_up
from diwa_schema.health import status as standing
from diwa_schema.health.finding import Finding, Patient, Severity
from diwa_schema.errors import DiwaSchemaError, command
from diwa_schema.guard.role import Role


def current(patient: Patient) -> Iterator[Finding]:
    """Tell what the start-up check would refuse."""
    try:
        start_up.judge(patient.link)
    except DiwaSchemaError as error:
        code = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
        yield Finding(code, Severity.ERROR, error.what, error.next_step)


def bypassed(patient: Patient) -> Iterator[Finding]:
    """Tell the owner which runs came through the bypass since the last regular one."""
    for run in standing.read(patient.link).bypassed:
        reason = f", because: {run['bypass_reason']}" if run["bypass_reason"] else ", without a reason"
        yield Finding(
            "bypassed-run",
            Severity.WARNING if patient.role is Role.OWNER else Severity.NOTE,
            f"'{run['kind']}' came through the bypass ({run['bypass']}) at {run['started_at']}, from"
            f" {run['repository'] or 'an unknown repository'} by {run['os_user']} on {run['host']}{reason}.",
            f"{command('history --applied')}, then {command('check')}",
        )
