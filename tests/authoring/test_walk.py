"""What a contributor does: edit a model, have the revisions written, plan, lint and prove them, and run the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from diwa_schema.testing.databases import VARIABLE
from tests.repository.test_ci_files import ROOT

from .recipes import replace

AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@example.org")
PANELS = '\n    panels: Mapped[list["Panel"]] = referred_by("workspace")\n'
LAYOUT = """    layout_type: Mapped[str | None] = mapped_column(
        **defaulted("single"), **described("How the panels are laid out.", values=("single",))
    )
"""
COLUMN = (
    '    luck: Mapped[{}] = mapped_column({}**described("How lucky the arrangement is.", writer="unknown"))\n'
)
TABLE = '''

class Charm(Base):
    """What brings luck to an arrangement."""

    __tablename__ = "charms"
    __table_args__ = (written_by("unknown"),)

    id: Mapped[ClientId]
    workspace_id: Mapped[uuid.UUID] = belongs_to("workspaces.id", **described("The arrangement that it is for."))
    kind: Mapped[str] = mapped_column(**defaulted("clover"), **described("What the charm is made of."))
'''
# What looks at models, history and generated files; the other tests do not depend on a column.
TESTS = ("tests/models", "tests/export", "tests/migrations/test_alembic.py", "tests/migrations/test_descriptions.py",
         "tests/migrations/test_history.py", "tests/migrations/test_numbering.py", "tests/test_generate.py")  # fmt: skip


@pytest.fixture
def clone(tmp_path, server, monkeypatch):
    """A clone of this checkout as it is saved, and what runs a program in it."""
    if not (server.has_vector and (ROOT / ".git").exists()):
        pytest.skip("it takes a checkout, and a server with pgvector")
    monkeypatch.setenv(VARIABLE, server.admin_url)
    root = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(root)], check=True)
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}

    def program(*words: str) -> str:
        command = [sys.executable, "-m", *words]
        done = subprocess.run(
            command, cwd=root, env=environment, check=False, capture_output=True, text=True, timeout=3600
        )
        assert done.returncode == 0, f"{words}\n{done.stdout[-4000:]}{done.stderr[-2000:]}"
        return done.stdout

    return root, program


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param(
            PANELS, COLUMN.format("str | None", "index=True, ") + PANELS, (), id="nullable, with an index"
        ),
        pytest.param(PANELS, COLUMN.format("str", '**defaulted("some"), ') + PANELS, (), id="NOT NULL"),
        pytest.param("\n\nclass Panel(Base)", TABLE + "\n\nclass Panel(Base)", (), id="a table"),
        pytest.param(
            LAYOUT,
            LAYOUT.replace("layout_type", "layout"),
            ("--rename", "workspaces.layout_type=layout", "--contract"),
            id="another name",
        ),
        pytest.param(LAYOUT, "", ("--contract",), id="dropped"),
    ],
)
def test_a_change_of_a_model_takes_five_commands_and_no_other_file(
    clone, new_database, head_template, old, new, words
):
    root, program = clone
    (path,) = (
        one
        for one in (root / "src/diwa_schema/models").glob("*.py")
        if "class Workspace(Base)" in one.read_text()
    )
    replace(root, old, new, path.name)
    url = new_database(head_template)
    program("diwa_schema", "revision", "-m", "Let an arrangement be lucky", "--autogenerate", *words)
    assert "lucky" in program("diwa_schema", "plan", "--observe", "--url", url)
    program("diwa_schema", "lint", "--since", "HEAD")
    program("diwa_schema", "prove")
    program("pytest", "-q", "-p", "no:cacheprovider", "-n", "2", *TESTS)
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    written = [
        line[3:]
        for line in changed.splitlines()
        if not line[3:].startswith(("src/diwa_schema/migrations/", "docs/dictionary/"))
    ]
    assert written == [str(Path("src/diwa_schema/models") / path.name)]
