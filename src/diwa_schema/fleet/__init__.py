"""Many databases and schemas at once: the status of each, and one way to upgrade all of them.

    >>> from diwa_schema.fleet import Fleet, Schemas
    >>> fleet = Fleet(Schemas("postgresql://owner@db/diwa", "tenant_*"))
    >>> fleet.status().exit_code
    0
    >>> fleet.upgrade(schedule=Schedule(waves=(1, 10)))

The fleet finds the targets, selects those with pending work, gives them to processes and reports the result of each.
The decisions about one target come from the same code as a single command.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from diwa_schema.fleet.fleet import Fleet as Fleet
    from diwa_schema.fleet.report import (
        FleetReport as FleetReport,
        Interrupted as Interrupted,
        Outcome as Outcome,
    )
    from diwa_schema.fleet.schedule import Schedule as Schedule
    from diwa_schema.fleet.targets import (
        Databases as Databases,
        Member as Member,
        Schemas as Schemas,
        listed as listed,
    )
    from diwa_schema.fleet.tenants import copy as copy, create as create, drop as drop
    from diwa_schema.run.verbs.copy import Copied as Copied

_HOMES = {
    "Copied": "tenants",
    "Databases": "targets",
    "Fleet": "fleet",
    "FleetReport": "report",
    "Interrupted": "report",
    "Member": "targets",
    "Outcome": "report",
    "Schedule": "schedule",
    "Schemas": "targets",
    "copy": "tenants",
    "create": "tenants",
    "drop": "tenants",
    "listed": "targets",
}

__all__ = [  # noqa: PLE0604 - the names are those of the table above
    *sorted(_HOMES),
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'diwa_schema.fleet' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(f"diwa_schema.fleet.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
