"""Running a revision's functions: the import of its file, with Alembic's `op` bound to a connection."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from diwa_schema.errors import ROLLED_BACK, NotPersisted, UsageError
from diwa_schema.migrations.manifest import Revision

if TYPE_CHECKING:
    import sqlalchemy as sa

# Alembic's `op` is one global of the process: without the lock, a thread would run its statements on the connection of
# another thread.
ONE_AT_A_TIME = threading.Lock()

# The version table for Alembic's option; the runner itself updates its row.
VERSION_TABLE = "diwa_schema_version"


@contextmanager
def operations(connection: sa.Connection, options: dict[str, Any]) -> Iterator[MigrationContext]:
    """Bind Alembic's `op` to a connection. Only one thread at a time can; others wait for the end of the block.

    Steps find `options` in the options of the context.
    """
    context = MigrationContext.configure(
        connection=connection, opts={"version_table": VERSION_TABLE, **options}
    )
    with bound(context):
        yield context


@contextmanager
def bound(context: MigrationContext) -> Iterator[None]:
    """Bind Alembic's `op` to a context, as `operations` does."""
    with ONE_AT_A_TIME, Operations.context(context):
        yield


def load(revision: Revision) -> ModuleType:
    """Import a revision's file and return its module.

    Raises:
        UsageError: The package runs from an archive, which contains no files of revisions.
    """
    if not revision.path.is_file():
        raise UsageError(
            f"Revisions run from files, and there is no file {revision.path}: diwa-schema probably runs "
            "from an archive.",
            next_step="Install the package, then run the command again: pip install diwa-schema",
        )
    spec = importlib.util.spec_from_file_location(f"diwa_schema_revision_{revision.revision}", revision.path)
    if spec is None or spec.loader is None:
        raise NotPersisted(
            f"{revision.path} cannot be imported.",
            untouched=ROLLED_BACK,
            next_step="Install the package again.",
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
