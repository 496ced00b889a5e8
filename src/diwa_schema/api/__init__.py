"""The functions that change or describe a database, for applications, the command line and Alembic.

Each function is loaded on first use: a process calls only one of them, and loading the others would add a tenth to its
start-up time.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from diwa_schema.api.change import (
        adopt as adopt,
        downgrade as downgrade,
        drop as drop,
        migrate as migrate,
        stamp as stamp,
    )
    from diwa_schema.api.describe import (
        check as check,
        doctor as doctor,
        examine as examine,
        history as history,
        plan as plan,
        status as status,
        violations as violations,
    )
    from diwa_schema.api.opening import target_of as target_of
    from diwa_schema.api.operate import (
        disable_index as disable_index,
        disable_vector as disable_vector,
        enable_index as enable_index,
        enable_vector as enable_vector,
        protect as protect,
        roles as roles,
        unprotect as unprotect,
        validate as validate,
    )

_HOMES = {
    "adopt": "change",
    "check": "describe",
    "disable_index": "operate",
    "disable_vector": "operate",
    "doctor": "describe",
    "downgrade": "change",
    "drop": "change",
    "enable_index": "operate",
    "enable_vector": "operate",
    "examine": "describe",
    "history": "describe",
    "migrate": "change",
    "plan": "describe",
    "protect": "operate",
    "roles": "operate",
    "stamp": "change",
    "status": "describe",
    "target_of": "opening",
    "unprotect": "operate",
    "validate": "operate",
    "violations": "describe",
}

__all__ = [  # noqa: PLE0604 - the names are those of the table above
    *sorted(_HOMES),
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'diwa_schema.api' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(f"diwa_schema.api.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
