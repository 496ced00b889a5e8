"""The check that applied revisions are unchanged since they were applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diwa_schema.database.state import LEDGER
from diwa_schema.errors import SchemaTampered, command
from diwa_schema.migrations.manifest import checksum

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diwa_schema.migrations.manifest import Manifest, Revision
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
            raise tampered(revision, there)
    for revision in manifest.revisions[manifest.position(state.revision) :]:
        if installed[revision.revision] != revision.sha256:
            raise tampered(revision, installed[revision.revision])


def tampered(revision: Revision, installed: str) -> SchemaTampered:
    """Return the error for a revision whose installed file has a checksum that it should not have.

    Args:
        revision: The revision, as the manifest lists it.
        installed: The checksum of its file.
    """
    return _edited(revision) if installed != revision.sha256 else _applied_otherwise(revision)


def _edited(revision: Revision) -> SchemaTampered:
    """Return the error for a file that is not what the manifest lists; only a release is never listed anew."""
    if revision.released is None:
        what = f"Revision file {revision.file} is not what the manifest lists: somebody edited it."
        step = "List it, and write what is generated from it anew: python -m diwa_schema.generate"
    else:
        what = (
            f"Revision file {revision.file} is not that of release {revision.released}: somebody edited it."
        )
        step = (
            "Install the package again: pip install --force-reinstall diwa-schema\n"
            f"In a checkout, take the edit back: git checkout v{revision.released} -- {revision.path}"
        )
    return SchemaTampered(what, next_step=step, file=revision.file)


def _applied_otherwise(revision: Revision) -> SchemaTampered:
    """Return the error for a file that is as the manifest lists it, and was another one when it was applied."""
    of = f"release {revision.released} has" if revision.released else "the checkout has now"
    return SchemaTampered(
        f"Revision file {revision.file} was applied to this database with other contents than {of}.",
        next_step="A database of your own: create it again.\n"
        f"Any other: `{command('history --applied')}` names the package that applied it; install that one.",
        file=revision.file,
    )
