"""Detecting a pooler that changes the server process between transactions, which makes locks impossible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diwa_schema.errors import TransactionPooler
from diwa_schema.names import literal

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

_SETTING = "diwa_schema.session"
# A pooler may by chance give a connection its former server process again.
_ROUNDS = 20


def refuse(first: Link, second: Link, shown: str) -> None:
    """Raise an error if two connections share server processes.

    A setting of the first must be visible only there, even while the second is in a transaction: a pooler would give
    the second the server process that the first has just left.

    Raises:
        TransactionPooler: They share one.
    """
    rounds = 1 if first.direct else _ROUNDS
    if any(_changes(first, second) for _ in range(rounds)):
        raise TransactionPooler(
            f"A pooler before {shown} changes the server process between transactions, so a run cannot hold"
            " the migration lock.",
            next_step="Set DIWA_MIGRATION_DATABASE_URL to the URL of the server itself.",
        )


def _changes(first: Link, second: Link) -> bool:
    import uuid

    # All statements differ, so a caller's connection prepares none: another process would not know its name.
    token = literal(str(uuid.uuid4()))
    look = f"SELECT current_setting('{_SETTING}', true) = {token}"
    first.row(f"SELECT set_config('{_SETTING}', {token}, false)")
    with second.transaction():
        return bool(second.value(look)) or not first.value(look)
