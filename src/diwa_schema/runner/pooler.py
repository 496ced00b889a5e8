"""Recognising a pooler that changes the server process between transactions, where no lock can be held."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from diwa_schema.errors import TransactionPooler

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

_SETTING = "diwa_schema.session"


def refuse(first: Link, second: Link, shown: str) -> None:
    """Raise when two connections share server processes.

    A setting made on the first must be seen there and nowhere else, also while the second is in a transaction:
    a pooler would hand the second the server process that the first has just left.

    Raises:
        TransactionPooler: They do.
    """
    token = str(uuid.uuid4())
    first.row("SELECT set_config(%s, %s, false)", (_SETTING, token))
    with second.transaction():
        leaked = second.value("SELECT current_setting(%s, true)", (_SETTING,)) == token
        kept = leaked or first.value("SELECT current_setting(%s, true)", (_SETTING,)) == token
    if leaked or not kept:
        raise TransactionPooler(
            f"{shown} is reached through a pooler that changes the server process between transactions;"
            " a migration lock cannot be held there.",
            next_step="Set DIWA_MIGRATION_DATABASE_URL to the server itself, past the pooler.",
        )
