"""Whether the applied revisions are still the ones that were applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diwa_schema.database.ledger import LEDGER, checksums
from diwa_schema.errors import SchemaTampered
from diwa_schema.migrations.manifest import checksum

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diwa_schema.database.link import Link
    from diwa_schema.database.version import State
    from diwa_schema.migrations.manifest import Manifest


def installed(manifest: Manifest) -> dict[str, str]:
    """Return the checksum of every revision's source as it is installed."""
    return {revision.revision: checksum(revision.path) for revision in manifest}


def verify(link: Link, state: State, manifest: Manifest, installed: Mapping[str, str]) -> None:
    """Compare the installed source of every applied revision with the ledger.

    Args:
        link: A connection.
        state: Where the database stands.
        manifest: The history.
        installed: The checksums of its files.

    Raises:
        SchemaTampered: A revision's file differs from what the ledger or the manifest says.
    """
    recorded = checksums(link, state.schema) if LEDGER in state.tables else {}
    for revision in manifest.until(state.revision):
        there = installed[revision.revision]
        if there != recorded.get(revision.revision, there):
            raise _tampered(revision.path.name, "was applied to this database with other contents")
    for revision in manifest.revisions[manifest.position(state.revision) :]:
        if installed[revision.revision] != revision.sha256:
            raise _tampered(revision.path.name, "is not what this package's manifest lists")


def _tampered(file: str, how: str) -> SchemaTampered:
    return SchemaTampered(
        f"Revision file {file} {how}: it was edited after its release.",
        next_step="Install the released package again: pip install --force-reinstall diwa-schema;"
        " or, where this package is developed: python -m diwa_schema.generate",
        file=file,
    )
