"""The shared schema of diwa-agent and diwa-cloud: models, one migration history, and its guard.

    >>> import diwa_schema
    >>> diwa_schema.ensure_current("postgresql://app@db/diwa")   # at an application's start-up
    >>> diwa_schema.migrate("postgresql://owner@db/diwa")        # in the owner's deployment

Each name is loaded on first use: importing the package imports no database library.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing; importing typing alone would cost more than the rest of this import
if TYPE_CHECKING:
    from typing import Any

    from diwa_schema.api import (
        adopt as adopt,
        check as check,
        disable_index as disable_index,
        disable_vector as disable_vector,
        doctor as doctor,
        downgrade as downgrade,
        drop as drop,
        enable_index as enable_index,
        enable_vector as enable_vector,
        examine as examine,
        history as history,
        migrate as migrate,
        plan as plan,
        protect as protect,
        roles as roles,
        stamp as stamp,
        status as status,
        unprotect as unprotect,
        validate as validate,
        violations as violations,
    )
    from diwa_schema.database.url import embedded_url as embedded_url
    from diwa_schema.drift.rules import BrokenRow as BrokenRow, BrokenRule as BrokenRule
    from diwa_schema.errors import DiwaSchemaError as DiwaSchemaError
    from diwa_schema.health.finding import Finding as Finding
    from diwa_schema.health.startup import (
        aensure_current as aensure_current,
        ensure_current as ensure_current,
    )
    from diwa_schema.health.status import Status as Status
    from diwa_schema.release import application_name as application_name
    from diwa_schema.run.settings import Report as Report, Settings as Settings
    from diwa_schema.run.verbs.rules import Validation as Validation

__version__ = "0.1.0"

_HOMES = {
    "BrokenRow": "drift.rules",
    "BrokenRule": "drift.rules",
    "DiwaSchemaError": "errors",
    "Finding": "health.finding",
    "Report": "run.settings",
    "Settings": "run.settings",
    "Status": "health.status",
    "Validation": "run.verbs.rules",
    "adopt": "api",
    "aensure_current": "health.startup",
    "application_name": "release",
    "check": "api",
    "doctor": "api",
    "disable_index": "api",
    "downgrade": "api",
    "drop": "api",
    "embedded_url": "database.url",
    "enable_index": "api",
    "disable_vector": "api",
    "enable_vector": "api",
    "examine": "api",
    "ensure_current": "health.startup",
    "history": "api",
    "migrate": "api",
    "plan": "api",
    "protect": "api",
    "roles": "api",
    "stamp": "api",
    "status": "api",
    "unprotect": "api",
    "validate": "api",
    "violations": "api",
}

__all__ = [  # noqa: PLE0604 - the names are those of the table above
    "__version__",
    *sorted(_HOMES),
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'diwa_schema' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(f"diwa_schema.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
