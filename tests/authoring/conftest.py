"""A checkout of this package, to write revisions in."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.repository.test_ci_files import ROOT


@pytest.fixture
def own(tmp_path, cli):
    """A checkout of this package, and what runs a command of the package in it."""
    root = tmp_path / "diwa-schema"
    # What is compiled already comes along: else the first command of each checkout compiles the whole package.
    shutil.copytree(ROOT / "src" / "diwa_schema", root / "src" / "diwa_schema")
    shutil.copytree(ROOT / "docs" / "dictionary", root / "docs" / "dictionary")
    shutil.copy(ROOT / "pyproject.toml", root)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)

    def call(*words, check=0):
        return cli(*words, cwd=root, env={"PYTHONPATH": str(root / "src")}, check=check)

    return root, call
