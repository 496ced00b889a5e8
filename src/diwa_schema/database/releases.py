"""The releases of connected applications, as stated by their connections."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from diwa_schema.database.target import APPLICATION_NAME
from diwa_schema.names import literal
from diwa_schema.release import said

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

# Checked beforehand, because an error would end an open transaction.
_MAY_LOOK = """
SELECT has_table_privilege('pg_catalog.pg_stat_activity', 'SELECT')
AND has_function_privilege('pg_catalog.pg_stat_get_activity(integer)', 'EXECUTE')
"""
# Everybody sees the role and the name of other sessions; their origin is visible only to permitted roles.
_SESSIONS = f"""
SELECT application_name, usename::text, coalesce(client_hostname, host(client_addr)),
  client_addr IS NULL AND backend_start IS NULL, count(*)
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL
AND position('diwa/' IN application_name) > 0 AND NOT starts_with(application_name, {literal(APPLICATION_NAME)})
GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2, 3
"""

UNSEEN = "This role may not read pg_stat_activity, so the check for connected older releases was left out."


@dataclass(frozen=True, slots=True)
class Connected:
    """Sessions of one release, application, role and host.

    Args:
        release: The release that they state, such as "0.4.1".
        application: Their whole application_name.
        user: The role.
        host: The address of the client; "local" for a socket on the server's own machine, None if this role may not see
            it.
        count: The number of sessions.
    """

    release: str
    application: str
    user: str
    host: str | None
    count: int

    def __str__(self) -> str:
        return f"{self.count} of '{self.application}' (user {self.user}, host {self.host or 'not shown to this role'})"

    @property
    def told(self) -> str:
        """The fact, as part of a sentence."""
        return f"one is connected: {self}"

    def as_dict(self) -> dict[str, Any]:
        """Return the sessions as a document for ``--json``."""
        return asdict(self)


def connected(link: Link) -> tuple[Connected, ...] | None:
    """Return the releases that are connected to a database, without runs of this package.

    Args:
        link: A connection to it; its open transaction is not changed.

    Returns:
        None if the role may not see sessions. An empty result on SQLite, which has none.
    """
    if link.dialect == "sqlite":
        return ()
    if not link.value(_MAY_LOOK):
        return None
    return tuple(
        Connected(release, name, user, None if hidden else host or "local", count)
        for name, user, host, hidden, count in link.rows(_SESSIONS)
        if (release := said(name)) is not None
    )
