"""Citus with a schema per tenant: the detection of an extension that places each schema on one node.

Its nodes receive a transaction's settings only from a separate SET statement: a setting made by a function call, as
elsewhere in this package, stays on the coordinator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from diwa_schema.errors import DatabaseRefused

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

# The tables of a tenant may have triggers: all rows of a tenant are on one node, so nothing fires twice.
OPENING = (
    "SET LOCAL citus.enable_unsafe_triggers = on",
    "SET LOCAL citus.propagate_set_commands = 'local'",
)
"""The beginning of a transaction that changes tables."""

SHADOW = "SET LOCAL citus.enable_schema_based_sharding = off"
"""The setting that keeps Citus from assigning a node to a schema that will be rolled back."""

_NODE = "SELECT groupid FROM pg_catalog.pg_dist_local_group"


def heard(limits: Mapping[str, float]) -> tuple[str, ...]:
    """Return the statements that set limits of the open transaction, in milliseconds, on all nodes."""
    return tuple(f"SET LOCAL {name} = '{math.ceil(value)}ms'" for name, value in limits.items())


def refuse_worker(link: Link) -> None:
    """Raise an error if a connection leads to a worker, which takes no changes of tables.

    Raises:
        DatabaseRefused: It leads to a worker; only the query was sent.
    """
    if link.citus and (node := link.value(_NODE)):
        raise DatabaseRefused(
            f"{link.shown} is a worker of Citus (group {node}), and only the coordinator can change tables.",
            next_step=(
                "Name the coordinator. To find it, run on this worker: SELECT nodename, nodeport FROM "
                "pg_dist_node WHERE groupid = 0;"
            ),
            group=node,
        )
