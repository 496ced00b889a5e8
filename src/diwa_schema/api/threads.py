"""Loading modules in a process with several threads: one thread loads the critical modules first.

Modules that import each other can make two threads wait for each other. Python resolves that by giving one of them a
partly loaded module. Alembic and SQLAlchemy consist of such modules, and so do packages here that import their own
modules. A process with one thread loads only the needed modules, because that is faster.
"""

from __future__ import annotations

import sys
from _thread import allocate_lock
from importlib import import_module

_IN_CIRCLES = (
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "diwa_schema.guard",
    "diwa_schema.models",
    "diwa_schema.migrations.steps",  # loads Alembic
)
_LOADING = allocate_lock()


def load_for_threads() -> None:
    """Load these modules, unless this is the only thread. Every public function calls it first."""
    threading = sys.modules.get("threading")  # without it, no code has started a thread
    if threading is None or threading.active_count() == 1:
        return
    with _LOADING:
        for name in _IN_CIRCLES:
            import_module(name)
