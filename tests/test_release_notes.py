"""A tag is published only if the changelog describes it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.fixtures_checkout import run

SCRIPT = Path(__file__).parents[1] / ".github" / "release_notes.py"
SECTION = "## [0.2.0] - 2026-01-31\n\n### Added\n\n- Something.\n"


def notes(folder: Path, tag: str, changelog: str, check: int) -> str:
    (folder / ".github").mkdir()
    (folder / "src" / "diwa_schema").mkdir(parents=True)
    script = folder / ".github" / SCRIPT.name
    script.write_text(SCRIPT.read_text())
    (folder / "src/diwa_schema/__init__.py").write_text('__version__ = "0.2.0"\n')
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n## [Unreleased]\n\n{changelog}")
    done = run([sys.executable, str(script), tag], cwd=folder, check=check)
    return done.stdout or done.stderr


def test_a_tag_that_is_described_gives_its_notes(tmp_path: Path) -> None:
    older = "\n## [0.1.0] - 2026-01-01\n\n- Before.\n"
    assert notes(tmp_path, "v0.2.0", SECTION + older, 0) == "### Added\n\n- Something.\n"


@pytest.mark.parametrize(
    ("tag", "changelog", "says"),
    [
        ("v0.3.0", SECTION, "the package says 0.2.0"),
        ("0.2.0", SECTION, "The tag is 0.2.0"),
        ("v0.2.0", "", "says nothing of 0.2.0"),
        ("v0.2.0", "## [0.2.0] - 2026-01-31\n\n### Added\n", "says nothing of 0.2.0"),
        ("v0.2.0", SECTION.replace(" - 2026-01-31", ""), "says nothing of 0.2.0"),
        ("v0.2.0", SECTION.replace("0.2.0", "0.2.01"), "says nothing of 0.2.0"),
    ],
)
def test_a_tag_that_is_not_described_is_refused(tmp_path: Path, tag: str, changelog: str, says: str) -> None:
    assert says in notes(tmp_path, tag, changelog, 1)
