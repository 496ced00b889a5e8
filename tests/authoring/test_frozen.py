"""What was released stays as it is: the file of a revision, and what the code that it calls makes of it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import pytest

from diwa_schema.migrations.manifest import load
from diwa_schema.testing.databases import VARIABLE
from tests.authoring.test_draft import content, git
from tests.fixtures_checkout import run

MIGRATIONS = "src/diwa_schema/migrations"
RELEASED = "0.1.0"
# A revision that calls nothing of this package, and two that call a step.
PLAIN, STEP, OTHER = (
    next(one for one in load() if one.slug == slug)
    for slug in ("memory_soft_delete", "numbered_versions", "usage_outlives")
)
# What a release writes beside version and date; the last revision is not in it.
FREEZE = f"""
import json
from diwa_schema.migrations import manifest
from diwa_schema.run import printed

document = json.loads(manifest.PATH.read_text())
for one in document["revisions"]:
    one["released"] = "{RELEASED}"
document["revisions"][-1]["released"] = None
manifest.PATH.write_text(json.dumps(document, indent=1) + "\\n")
revisions = manifest.parse(document).revisions
printed.PATH.write_text(printed.expected(revisions, fresh=[one.revision for one in revisions if one.released]))
"""


def freeze(root):
    """Release all revisions of a checkout but the last."""
    run([sys.executable, "-c", FREEZE], cwd=root, env={"PYTHONPATH": str(root / "src")}, check=0)


@pytest.fixture
def released(own, monkeypatch):
    """A checkout with released revisions, and what runs `generate` in it; without a PostgreSQL server."""
    monkeypatch.setenv(VARIABLE, "sqlite://")
    root, call = own
    freeze(root)
    (root / ".gitignore").write_text("__pycache__\n")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "x")

    def generate(*words, check=0):
        command = [sys.executable, "-m", "diwa_schema.generate", *words]
        return run(command, cwd=root, env={"PYTHONPATH": str(root / "src")}, check=check).stderr

    return root, call, generate


@pytest.mark.matrix
def test_a_released_revision_that_was_edited_is_never_listed_anew(released):
    root, call, generate = released
    path = root / MIGRATIONS / "versions" / PLAIN.file
    text = path.read_bytes()
    # Line ends are git's: they are no edit.
    path.write_bytes(text.replace(b"\n", b"\r\n"))
    generate("--check")
    for edited in (text + b"# edited\n", b"no Python\n", None):
        path.write_bytes(edited) if edited else path.unlink()
        before = content(root)
        for words in ((), ("--check",)):
            said = generate(*words, check=2)
            assert said.startswith(
                f"A released revision is never edited: {PLAIN.file}.\nNothing was written.\n"
            )
            assert content(root) == before
        (back,) = re.findall(r"git checkout -- \S+", said)
        subprocess.run(shlex.split(back), cwd=root, check=True, capture_output=True)
        assert path.read_bytes() == text
    generate("--check")

    # One that no release contains is listed as it is.
    last = root / MIGRATIONS / "versions" / load().get(load().head).file
    last.write_bytes(last.read_bytes() + b"# edited\n")
    assert "manifest.json is written" in generate()

    # Who has committed the edit, and asks for a release, is refused too.
    path.write_bytes(text + b"# edited\n")
    (root / "CHANGELOG.md").write_text("## [Unreleased]\n\n- A column.\n")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "x")
    said = call("release", "0.2.0", "--check", check=2).stderr
    assert f"never edited: {PLAIN.file}." in said
    assert f"git checkout v{RELEASED} -- " in said


def test_a_released_revision_that_prints_something_else_is_named_until_somebody_says_why(released):
    root, call, generate = released
    printed, steps = root / MIGRATIONS / "printed.json", root / MIGRATIONS / "steps"
    recorded = json.loads(printed.read_text())
    assert list(recorded) == [one.revision for one in load()][:-1]
    generate("--check")
    # What is written differently and does the same is no change.
    texts = {name: (steps / name).read_text() for name in ("numbering.py", "outlive.py")}
    (steps / "numbering.py").write_text(f"{texts['numbering.py']}\n# A remark.\n")
    generate("--check")

    for name, was, now in (
        ("numbering.py", '"inserted_at, id"', '"inserted_at, id DESC"'),
        ("outlive.py", "DROP CONSTRAINT IF EXISTS", "DROP constraint IF EXISTS"),
    ):
        assert was in texts[name]
        (steps / name).write_text(texts[name].replace(was, now))
    before = content(root)
    for words in ((), ("--check",)):
        said = generate(*words, check=1)
        assert re.findall(r"^  (\d{14} .*)", said, re.MULTILINE) == [
            f"{one.revision} ({RELEASED}) on postgresql: {one.slug}" for one in (STEP, OTHER)
        ]
        assert "Write a new revision, and keep the old form of the released step" in said
        assert content(root) == before
    (root / "CHANGELOG.md").write_text("## [Unreleased]\n\n- A step.\n")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "x")
    assert f"{STEP.revision} ({RELEASED}) on " in call("release", "0.2.0", "--check", check=1).stderr

    # The exception names the revisions and says why; nothing else is accepted with it.
    accept = ("--accept", STEP.revision, "--accept", OTHER.revision)
    before = content(root)
    assert "--because" in generate(*accept, check=2)
    assert "--because" in generate(*accept, "--because", " ", check=2)
    assert "--accept" in generate("--because", "x", check=2)
    assert PLAIN.revision in generate(*accept, "--accept", PLAIN.revision, "--because", "x", check=2)
    said = generate("--accept", OTHER.revision, "--because", "x", check=1)
    assert (STEP.revision in said, OTHER.revision in said) == (True, False)
    assert "printed.json is stale" in generate(*accept, "--because", "x", "--check", check=1)
    assert content(root) == before
    assert "printed.json is written" in generate(*accept, "--because", "Words alone.")
    generate("--check")
    now = json.loads(printed.read_text())
    assert {one for one in now if now[one] != recorded[one]} == {STEP.revision, OTHER.revision}
    assert now[STEP.revision]["accepted"] == now[OTHER.revision]["accepted"] == ["Words alone."]

    # What was recorded of a release is not forgotten by taking it out of the file.
    del now[PLAIN.revision]
    printed.write_text(json.dumps(now))
    said = generate("--check", check=1)
    assert f"{PLAIN.revision} ({RELEASED}): its printed text was never recorded" in said


@pytest.mark.parametrize("words", [("diwa_schema", "release", "0.2.0"), ("diwa_schema.generate", "--check")])
def test_without_the_requirements_of_the_tests_they_are_named(own, tmp_path, words):
    root, _ = own
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "pytest.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'pytest'\", name='pytest')\n"
    )
    environment = {"PYTHONPATH": f"{absent}:{root / 'src'}"}
    said = run([sys.executable, "-m", *words], cwd=root, env=environment, check=2).stderr
    assert "pytest is not installed" in said
    assert "pip install --editable . --group test" in said
    assert "Traceback" not in said
