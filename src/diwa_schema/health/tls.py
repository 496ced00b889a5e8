"""Whether what goes to the server and comes from it can be read or changed on the way."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from diwa_schema.health.finding import Finding, Patient, Severity

_VERIFIED = "verify-full"
_DEFAULT_MODE = "prefer"
_MEND = "Add ?sslmode=verify-full&sslrootcert=FILE to the URL (sslrootcert=system for a public authority)"


def encryption(patient: Patient) -> Iterator[Finding]:
    """Tell when a connection that leaves the machine is open, or when nobody checked who answers."""
    raw: Any = patient.link.raw
    if is_local(raw.info.host, raw.info.hostaddr):
        return
    where = raw.info.host or raw.info.hostaddr
    if not raw.pgconn.ssl_in_use:
        reason = f"The connection to {where} is not encrypted: passwords and rows can be read on the way."
        yield Finding("tls-off", Severity.ERROR, reason, _MEND)
        return
    mode = raw.info.get_parameters().get("sslmode", _DEFAULT_MODE)
    if mode != _VERIFIED:
        reason = (
            f"The connection to {where} is encrypted with sslmode={mode}, which does not prove who answers."
        )
        yield Finding("tls-not-verified", Severity.NOTE, reason, _MEND)
    if not patient.link.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"):
        reason = f"Encryption ends before the server: something between {where} and it speaks in the open."
        yield Finding(
            "tls-ends-early", Severity.NOTE, reason, "Encrypt the way from the pooler to the server as well"
        )


def is_local(host: str, address: str) -> bool:
    """Whether a connection stays on the machine: a socket file, or a loopback address.

    Args:
        host: What libpq was given as host: a name, an address or the directory of a socket.
        address: The address it connected to, "" for a socket.
    """
    if host.startswith(("/", "@")):
        return True
    try:
        return ip_address(address or host).is_loopback
    except ValueError:
        return not host and not address
