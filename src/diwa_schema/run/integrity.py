"""The check that applied revisions are unchanged since they were applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diwa_schema.database.state import LEDGER
from diwa_schema.errors import SchemaTampered
from diwa_schema.migrations.manifest import checksum

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diwa_schema.migrations.manifest import Manifest
    from diwa_schema.run.session import Look


def installed(manifest: Manifest) -> dict[str, str]:
    """Return the checksum of every installed revision's source."""
    return {revision.revision: checksum(revision.path) for revision in manifest}


def verify(look: Look, manifest: Manifest, installed: Mapping[str, str]) -> None:
    """Compare the installed source of every applied revision with the ledger.

    Args:
        look: The state of the database.
        manifest: The history.
        installed: The checksums of its files.

    Raises:
        SchemaTampered: A revision's file differs from the ledger or the manifest.
    """
    state = look.state
    recorded = look.books.ledger.checksums() if LEDGER in state.tables else {}
    for revision in manifest.until(state.revision):
        there = installed[revision.revision]
        if there != recorded.get(revision.revision, there):
            raise _tampered(revision.path.name, "was applied to this database with other contents")
    for revision in manifest.revisions[manifest.position(state.revision) :]:
        if installed[revision.revision] != revision.sha256:
            raise _tampered(revision.path.name, "is not what this package's manifest lists")


def _tampered(file: str, how: str) -> SchemaTampered:
    return SchemaTampered(
        f"Revision file {file} {how}: somebody edited it after its release.",
        next_step="Install the released package again: pip install --force-reinstall diwa-schema;"
        " or, where this package is developed: python -m diwa_schema.generate",
        file=file,
    )
