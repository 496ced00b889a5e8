"""Drafts of revisions, in a folder of their own, and what is found in them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from diwa_schema.authoring.lint import Review, lint
from diwa_schema.migrations.manifest import load

AFTER = load().head
ID = "20990101000000"

HEADER = f'''"""A draft."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from diwa_schema.migrations import steps
from diwa_schema.models.types import Count, Document, Embedding, Flag, LongText, ShortText, Timestamp, UniqueId

revision = "{ID}"
down_revision = "{AFTER}"
'''
PHASE = '\nphase = "expand"\nfloor = None\n'
# What `generate` does first; snapshots take longer, and few tests need them.
LIST = """
from diwa_schema import generate
from diwa_schema.migrations import manifest

manifest.PATH.write_text(generate.render(generate.document()))
"""


def list_anew(root: Path) -> None:
    """List the revisions of a checkout in its manifest as they are now."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    subprocess.run([sys.executable, "-c", LIST], cwd=root, env=environment, check=True)


def write(folder: Path, code: str, *, name: str = f"{ID}_draft.py", phase: str = PHASE) -> Path:
    """Write a draft; code that says no phase gets one."""
    path = folder / name
    path.write_text(
        f"{HEADER}{'' if 'phase =' in code else phase}{textwrap.dedent(code)}\n", encoding="utf-8"
    )
    return path


def up(*calls: str, before: str = "") -> str:
    """Return the code of an upgrade."""
    return "\n".join([before, "", "def upgrade() -> None:", *(f"    {call}" for call in calls)])


def judged(folder: Path, code: str, **options: str) -> Review:
    """Return what is found in a draft."""
    return lint([write(folder, code, **options)])


def rules(review: Review) -> list[str]:
    """Return the rules that were broken."""
    return [finding.rule for finding in review.findings]
