"""The functions that change or describe a database, whoever calls them: an application, the command line, Alembic."""

from __future__ import annotations

from diwa_schema.api.change import adopt, downgrade, drop, migrate, stamp
from diwa_schema.api.describe import check, doctor, examine, history, plan, status, violations
from diwa_schema.api.opening import target_of
from diwa_schema.api.operate import (
    disable_index,
    disable_vector,
    enable_index,
    enable_vector,
    protect,
    roles,
    unprotect,
    validate,
)

__all__ = [
    "adopt",
    "check",
    "disable_index",
    "disable_vector",
    "doctor",
    "downgrade",
    "drop",
    "enable_index",
    "enable_vector",
    "examine",
    "history",
    "migrate",
    "plan",
    "protect",
    "roles",
    "stamp",
    "status",
    "target_of",
    "unprotect",
    "validate",
    "violations",
]
