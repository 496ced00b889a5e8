"""The environment of a plain `alembic` command.

Every schema change goes to the runner, so that guard, lock and ledger are the same for all commands. `current`,
`check`, `history` and ``--sql`` need no permission: they write nothing, not even the version table that Alembic would
create in an empty database. That table would have no floor, and nobody could use it afterwards. `revision` and `merge`
do not run this file: their template (`script.py.mako`) asks the guard itself.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from typing import Any, NoReturn

from alembic import context as alembic_context

from diwa_schema import api, guard
from diwa_schema.database.alchemy import connection_over
from diwa_schema.database.state import VERSION
from diwa_schema.database.target import Target
from diwa_schema.errors import DiwaSchemaError, UsageError
from diwa_schema.migrations.revisions import ONE_AT_A_TIME
from diwa_schema.terminal import fitted

# The inner functions of alembic.command that only read; any other function counts as a change.
_LOOKING = frozenset({"display_version", "retrieve_migrations", "_display_current_history", "show_current"})


context: Any = alembic_context


def _command() -> str:
    return str(context._proxy.context_opts["fn"].__name__)  # noqa: SLF001 - Alembic tells it nowhere else


def _database() -> Any:
    given = context.config.attributes.get("connection")
    return context.config.get_main_option("sqlalchemy.url") if given is None else given


def _change() -> None:
    changes = {"upgrade": api.migrate, "downgrade": api.downgrade, "do_stamp": api.stamp}
    change: Any = changes.get(_command())
    if change is None:
        guard.ask(guard.Operation.UPGRADE)
        raise UsageError(
            f"This Alembic command ('{_command()}') is not one the history of diwa-schema supports.",
            next_step="Run: diwa-schema --help",
        )
    wanted: Any = context._proxy.context_opts["destination_rev"]  # noqa: SLF001 - unresolved, as it was typed
    revision = (wanted if isinstance(wanted, str) else next(iter(wanted or ()), None)) or "base"
    change(_database(), revision)


def _look() -> None:
    from diwa_schema.models import Base
    from diwa_schema.models.shapes import tables_for

    target = Target.of(_database())
    with (
        ONE_AT_A_TIME,
        target.connect(create=False) if target.absent else target.work() as link,
        connection_over(link) as connection,
    ):
        context.configure(
            connection=connection,
            dont_mutate=True,
            target_metadata=tables_for(Base.metadata, connection),
            version_table=VERSION,
            compare_type=True,
            compare_server_default=True,
            include_name=lambda name, kind, _: kind != "table" or name in Base.metadata.tables,
            process_revision_directives=_name_revisions,
        )
        with context.begin_transaction():
            context.run_migrations()


def _print_sql() -> None:
    from diwa_schema.run.script import render

    if _command() not in ("upgrade", "downgrade"):
        raise UsageError(
            f"Alembic prints the SQL of an upgrade or a downgrade only, not of '{_command()}'.",
            next_step="Run: diwa-schema upgrade --sql",
        )
    url = context.config.get_main_option("sqlalchemy.url") or "postgresql://"
    wanted = context._proxy.context_opts  # noqa: SLF001 - as above
    start, end = wanted.get("starting_rev"), wanted["destination_rev"]
    text = render(Target.of(url).dialect, f"{start or ''}:{end or 'base'}", _command())
    context.config.output_buffer.write(text) if context.config.output_buffer else sys.stdout.write(text)


def _name_revisions(_: object, __: object, directives: list[Any]) -> None:
    """Give a new revision a 14-digit UTC timestamp as its id, so that ids sort in history order."""
    for directive in directives:
        if not re.fullmatch(r"\d{14}", directive.rev_id or ""):
            directive.rev_id = datetime.now(UTC).strftime("%Y%m%d%H%M%S")


def _fail(error: DiwaSchemaError) -> NoReturn:
    if context.config.cmd_opts is None:
        raise error
    sys.stderr.write(f"{fitted(str(error), sys.stderr)}\n")
    raise SystemExit(error.exit_code)


try:
    if context.is_offline_mode():
        _print_sql()
    elif _command() in _LOOKING:
        _look()
    else:
        _change()
except DiwaSchemaError as failure:
    _fail(failure)
