"""The name of a template, derived from everything that determines its content."""

from __future__ import annotations

from hashlib import sha256

from diwa_schema.migrations import manifest
from diwa_schema.run import snapshot


def fingerprint(*circumstances: str) -> str:
    """Return 16 characters that change with the history, the snapshots or the circumstances.

    Args:
        circumstances: Further influences on the content, such as the role that owns the tables.
    """
    digest = sha256("\0".join(circumstances).encode())
    for path in (manifest.PATH, snapshot.path("postgresql"), snapshot.path("sqlite")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
