"""What is judged, what is left out and why, in which form it is said, and what happens to input that is broken."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest
import yaml

from diwa_schema.authoring import lint as room, squawk
from diwa_schema.authoring.lint import lint
from diwa_schema.authoring.rule import RULES
from diwa_schema.errors import UsageError
from diwa_schema.migrations.manifest import load
from tests.fixtures_checkout import run
from tests.repository.test_ci_files import HOOKS, ROOT

from .drafts import ID, judged, rules, up, write

INDEX = up('op.create_index("i", "memories", ["kind"])')
REINDEX = up('op.execute("REINDEX TABLE memories")')


def git(folder, *words):
    environment = os.environ | {
        f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    write(folder, INDEX, name="20980101000000_old.py")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_the_history_is_clean_and_every_reason_in_the_baseline_is_needed():
    # A reason that nothing is left out by is a finding itself.
    # Nor is anything that an engine refuses.
    assert lint(engine="citus").findings == ()
    baseline = json.loads(room.BASELINE.read_text())
    assert all(reason.endswith(".") for reasons in baseline.values() for reason in reasons.values())
    # What is written from now on says its reasons itself.
    assert max(baseline) <= "20260302000400"
    assert set(baseline) <= set(load().ids)


def test_without_the_baseline_its_revisions_are_found(tmp_path, monkeypatch):
    kept = json.loads(room.BASELINE.read_text())
    empty = tmp_path / "baseline.json"
    empty.write_text("{}")
    monkeypatch.setattr(room, "BASELINE", empty)
    found = {(finding.revision, finding.rule) for finding in lint().findings}
    assert found == {(revision, rule) for revision, reasons in kept.items() for rule in reasons}


def test_a_reason_in_the_revision_leaves_its_rule_out_and_no_other(tmp_path):
    reason = '\nlint_ignore = {"index-blocks-writes": "the table is empty until the next release"}\n'
    assert rules(judged(tmp_path, reason + INDEX)) == []
    assert rules(judged(tmp_path, reason + up('op.drop_index("i", "memories")'))) == [
        "unused-ignore", "index-drop-blocks",
    ]  # fmt: skip


def test_a_finding_says_where_and_what_to_paste(tmp_path, cli):
    path = write(tmp_path, INDEX)
    done = cli("lint", str(path), "--format", "json", cwd=tmp_path, check=1)
    (finding,) = json.loads(done.stdout)["findings"]
    assert finding == {
        "rule": "index-blocks-writes",
        "revision": ID,
        "file": path.name,
        "line": path.read_text().splitlines().index('    op.create_index("i", "memories", ["kind"])') + 1,
        "table": "memories",
        "column": None,
        "why": finding["why"],
        "instead": 'transactional = False\n\n\ndef upgrade() -> None:\n    steps.create_index_concurrently("i", "memories", ["kind"])',
    }
    assert "SHARE lock" in finding["why"]
    assert cli("lint", path.name, "--json", cwd=tmp_path, check=1).stdout == done.stdout
    text = cli("lint", path.name, "--format", "text", cwd=tmp_path, check=1).stdout
    assert f"{path.name}:{finding['line']}: index-blocks-writes (memories)" in text
    assert '        steps.create_index_concurrently("i"' in text
    github = cli("lint", path.name, "--format", "github", cwd=tmp_path, check=1).stdout
    assert (
        f"::error file={path.name},line={finding['line']},title=diwa-schema lint%3A index-blocks-writes::"
        in github
    )
    assert not list(tmp_path.glob("__pycache__"))


def test_what_is_safe_ends_with_0(tmp_path, cli):
    path = write(tmp_path, up("pass"))
    assert "0 findings" in cli("lint", str(path), check=0).stdout


def test_since_judges_what_was_changed_or_is_new(checkout, cli):
    def found():
        done = cli("lint", "--since", "main", "--format", "json", cwd=checkout, check=None)
        return {finding["file"] for finding in json.loads(done.stdout)["findings"]}

    git(checkout, "switch", "-q", "-c", "work")
    assert found() == set()
    write(checkout, INDEX)
    (checkout / "setup.py").write_text("raise SystemExit('is no revision, and is not run')\n")
    assert found() == {f"{ID}_draft.py"}
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "second")
    assert found() == {f"{ID}_draft.py"}
    write(checkout, INDEX + "\n# again", name="20980101000000_old.py")
    assert found() == {f"{ID}_draft.py", "20980101000000_old.py"}


def test_broken_input_is_said_and_ends_with_2(tmp_path, cli, checkout):
    broken = {
        "syntax.py": ("def upgrade(:\n", "SyntaxError in line 1"),
        "missing.py": ("import no_such_module\n", "No module named 'no_such_module'"),
        "leaves.py": ("raise SystemExit(0)\n", "SystemExit"),
        "notes.py": ("x = 1\n", "is not a revision"),
    }
    for name, (text, said) in broken.items():
        (tmp_path / name).write_text(text)
        done = cli("lint", name, cwd=tmp_path, check=2)
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert "cannot be read" in cli("lint", "absent.py", cwd=tmp_path, check=2).stderr
    assert "is not a checkout" in cli("lint", "--since", "main", cwd=tmp_path, check=2).stderr
    assert "--since lacks a branch" in cli("lint", "--since", "", cwd=checkout, check=2).stderr
    assert "(named by --since)" in cli("lint", "--since", "nowhere", cwd=checkout, check=2).stderr
    assert "Leave one of them out" in cli("lint", "x.py", "--since", "main", cwd=checkout, check=2).stderr


def test_without_squawk_its_rules_are_named_as_not_looked_at(tmp_path, monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(squawk, "distribution", absent)
    monkeypatch.setenv("PATH", str(tmp_path))
    review = judged(tmp_path, REINDEX)
    assert rules(review) == []
    assert "reindex-blocks" in review.not_looked_at
    # A reason for what nobody looked for is not one that nothing needs.
    reason = '\nlint_ignore = {"reindex-blocks": "the index is on a table of ten rows"}\n'
    assert rules(judged(tmp_path, reason + REINDEX)) == []
    text = up("op.execute('CREATE INDEX i ON memories (kind)')")
    assert rules(judged(tmp_path, reason.replace("reindex-blocks", "index-blocks-writes") + text)) == []
    assert rules(judged(tmp_path, INDEX)) == ["index-blocks-writes"]


def test_another_program_of_that_name_is_not_taken_for_one_that_found_nothing(tmp_path, monkeypatch):
    other = tmp_path / "squawk"
    other.write_text("#!/bin/sh\necho nothing\n")
    other.chmod(0o755)
    monkeypatch.setattr(squawk, "program", lambda: str(other))
    with pytest.raises(UsageError, match="is not readable"):
        judged(tmp_path, INDEX)


def test_the_page_names_every_rule_and_why():
    page = (ROOT / "docs" / "lint.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \| ", page, re.MULTILINE)) == {*RULES, *squawk.LEFT_OUT}
    assert [rule.id for rule in RULES.values() if f"| `{rule.id}` | {rule.why} |" not in page] == []
    assert f"text: {', '.join(f'`{name}`' for name in squawk.only_its_own())}." in " ".join(page.split())


def test_the_hook_is_given_revisions_and_finds_what_is_wrong_with_them(tmp_path, cli):
    (hook,) = (one for one in yaml.safe_load(HOOKS.read_text()) if one["id"] == "lint-revisions")
    place = tmp_path / "history" / "versions"
    place.mkdir(parents=True)
    path = write(place, INDEX)
    assert re.search(hook["files"], str(path.relative_to(tmp_path)))
    assert not re.search(hook["files"], "history/versions/__init__.py")
    words = hook["entry"].removeprefix("python3 -m diwa_schema ").split()
    assert "index-blocks-writes" in cli(*words, str(path.relative_to(tmp_path)), cwd=tmp_path, check=1).stdout


def test_it_needs_no_requirements_of_the_tests(tmp_path):
    """An installed wheel has no pytest; only the rules of a server need it, and these are named."""
    blocked = "import sys; sys.modules['pytest'] = None; from diwa_schema.cli import main; sys.exit(main(sys.argv[1:]))"
    file = str(ROOT / "src/diwa_schema/migrations/versions" / load().get(load().head).file)
    done = run([sys.executable, "-c", blocked, "lint", file, "--json"], cwd=tmp_path, check=0)
    assert "seen-to-rewrite" in json.loads(done.stdout)["not_looked_at"]
    asked = run([sys.executable, "-c", blocked, "lint", file, "--observe"], cwd=tmp_path, check=2)
    assert "pytest is not installed" in asked.stderr
