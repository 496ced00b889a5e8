"""Other histories than the package's own: the same revisions, and more after them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from diwa_schema.generate import renames
from diwa_schema.migrations import manifest

FIRST = 29990101000000

_FILE = '''"""A revision of a test."""

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations import steps

revision = "{revision}"
down_revision = "{down}"
branch_labels = None
depends_on = None
phase = "expand"
floor = None
transactional = {transactional}


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    pass
'''


def extended(folder: Path, *upgrades: str) -> Path:
    """Write a history that goes on after the package's head.

    Args:
        folder: Where it is written.
        upgrades: The statement that each further revision runs. One that calls a safe step (``steps.``) makes
            a revision that is not transactional.

    Returns:
        The folder.
    """
    installed = manifest.load()
    folder.mkdir(exist_ok=True)
    # Compiled modules come and go while other tests use the package.
    sources = shutil.ignore_patterns("__pycache__")
    shutil.copytree(manifest.VERSIONS, folder / "versions", dirs_exist_ok=True, ignore=sources)
    revisions = list(installed.revisions)
    for number, upgrade in enumerate(upgrades):
        revisions.append(_write(folder / "versions", FIRST + number, revisions[-1].revision, upgrade))
    document = {"tables": installed.tables, "revisions": [step._asdict() for step in revisions]}
    (folder / "manifest.json").write_text(json.dumps(document))
    return folder


def _write(versions: Path, number: int, down: str, upgrade: str) -> manifest.Revision:
    transactional = "steps." not in upgrade
    path = versions / f"{number}_test.py"
    path.write_text(
        _FILE.format(
            revision=number, down=down, transactional=transactional, upgrade=upgrade.replace("\n", "\n    ")
        )
    )
    return manifest.Revision(
        revision=str(number),
        down_revision=down,
        slug="test",
        file=path.name,
        sha256=manifest.checksum(path),
        transactional=transactional,
        renames=renames(path.read_text()),
    )
