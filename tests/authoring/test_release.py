"""`release` freezes what no release contains, when nothing speaks against it."""

from __future__ import annotations

import json

import pytest

from diwa_schema.authoring import squawk
from diwa_schema.migrations.manifest import load
from diwa_schema.testing import embedded
from diwa_schema.testing.databases import VARIABLE
from tests.authoring.test_coding_agents import DIALOGUES, shape
from tests.authoring.test_draft import content, git
from tests.authoring.test_frozen import RELEASED, freeze
from tests.authoring.test_prove import draft
from tests.authoring.test_seen import REASON
from tests.repository.test_ci_files import ROOT

MANIFEST = "src/diwa_schema/migrations/manifest.json"
STATEMENTS = "src/diwa_schema/migrations/statements.json"
PRINTED = "src/diwa_schema/migrations/printed.json"
CHANGED = ["CHANGELOG.md", "src/diwa_schema/__init__.py", MANIFEST, PRINTED, STATEMENTS]


# Its text does not show that it writes a table anew, and the schema is the same afterwards.
SEEN_ONLY = f"""{REASON}


def upgrade():
    if op.get_context().dialect.name == 'postgresql':
        op.execute(
            'DO $do$ BEGIN ALTER TABLE tasks ADD luck float DEFAULT random(); ALTER TABLE tasks DROP luck; END $do$'
        )


def downgrade():
    pass
"""


def save(root):
    git(root, "add", "--all")
    git(root, "commit", "-qm", "x")


@pytest.fixture
def nearly_released(own, server, monkeypatch):
    """A checkout where all revisions but the last are released, what runs a command in it, and that revision."""
    if not (server.has_vector and server.version >= embedded.VERSION and squawk.program()):
        pytest.skip("a release needs squawk and a new server with pgvector")
    monkeypatch.setenv(VARIABLE, server.admin_url)
    root, call = own
    changes = (ROOT / "CHANGELOG.md").read_text().partition("## [Unreleased]\n")[0]
    (root / "CHANGELOG.md").write_text(f"{changes}## [Unreleased]\n\n### Added\n\n- A column.\n")
    (root / ".gitignore").write_text("__pycache__\n.ruff_cache\n")
    freeze(root)
    save(root)
    return root, call, load().get(load().head)


def test_a_release_is_refused_until_it_is_ready_and_then_written_whole(nearly_released):  # noqa: PLR0915 - one release
    root, call, last = nearly_released
    path = root / MANIFEST
    revision = root / "src/diwa_schema/migrations/versions" / last.file

    def refused(version, code, *words):
        before = content(root)
        said = call("release", version, check=code).stderr
        assert [word for word in words if word not in said] == [], said
        assert content(root) == before

    refused(RELEASED, 2, f"{RELEASED} does not come after {RELEASED}")
    (root / "new").write_text("")
    refused("0.1.1", 1, "not clean: new", "git status")
    (root / "new").unlink()
    (root / "CHANGELOG.md").write_text(
        (root / "CHANGELOG.md").read_text().partition("## [Unreleased]\n")[0] + "## [Unreleased]\n"
    )
    save(root)
    refused("0.1.1", 1, "CHANGELOG.md says nothing")
    git(root, "reset", "-q", "--hard", "HEAD~1")
    # A contract, and what its release asks for; a reason for nothing; a manifest that nobody wrote anew.
    text = revision.read_text()
    path.write_text(path.read_text().replace('"phase": "expand"', '"phase": "contract"'))
    save(root)
    refused("0.1.1", 1, f"{last.revision} breaks running code", "release 0.2.0")
    git(root, "reset", "-q", "--hard", "HEAD~1")
    ignoring = 'lint_ignore = {"wide-index": "There is none."}\n'
    revision.write_text(text.replace("floor = None\n", f"floor = None\n{ignoring}", 1))
    save(root)
    refused("0.1.1", 1, "unused-ignore", "manifest.json is stale")
    git(root, "reset", "-q", "--hard", "HEAD~1")

    draft(root, call, SEEN_ONLY)
    call("export", "history", "--output", str(root / "docs/dictionary"))
    save(root)
    refused("0.1.1", 1, "seen-to-rewrite")
    git(root, "reset", "-q", "--hard", "HEAD~1")

    made = json.loads(call("release", "0.1.1", "--json").stdout)
    assert (made["revisions"], made["files"]) == ([last.revision], CHANGED)
    released = json.loads(path.read_text())["revisions"]
    assert [one["released"] for one in released] == [RELEASED] * (len(released) - 1) + ["0.1.1"]
    assert list(json.loads((root / PRINTED).read_text())) == [one["revision"] for one in released]
    assert '__version__ = "0.1.1"' in (root / CHANGED[1]).read_text()
    assert (
        f"## [Unreleased]\n\n## [0.1.1] - {made['date']}\n\n### Added" in (root / "CHANGELOG.md").read_text()
    )
    assert git(root, "status", "--porcelain").stdout.split()[1::2] == CHANGED
    refused("0.1.2", 1, f"git restore {' '.join(CHANGED)}")

    # What would come next is told, and nothing is changed for it.
    changelog = (root / "CHANGELOG.md").read_text()
    (root / "CHANGELOG.md").write_text(changelog.replace("[Unreleased]\n", "[Unreleased]\n\n- A fix.\n", 1))
    save(root)
    before = content(root)
    would = json.loads(call("release", "0.1.2", "--check", "--json").stdout)
    assert (would["version"], would["revisions"], would["files"]) == ("0.1.2", [], CHANGED)
    assert content(root) == before

    # What this release sends goes on working under the next revision, or `prove` names what does not.
    retype = "    if op.get_context().dialect.name == 'postgresql':\n        op.execute('ALTER TABLE tasks ALTER title TYPE {}')\n"
    slipped = draft(
        root,
        call,
        f"def upgrade():\n{retype.format('text')}\n\ndef downgrade():\n{retype.format('varchar(255)')}",
    )
    proof = json.loads(call("prove", slipped, "--json", check=1).stdout)
    assert shape(proof) | {"failures": []} == shape(json.loads(dict(DIALOGUES)["prove REVISION --json"]))
    failures = proof["failures"]
    assert {(one["revision"], one["dialect"], one["part"]) for one in failures} == {
        (slipped, "postgresql", "old code"),
        (slipped, "postgresql", "released code"),
    }
    told = [one["why"] for one in failures if one["part"] == "released code"]
    for client in ("psycopg", "SQLAlchemy over psycopg"):
        assert f"0.1.1, {client}: cached plan must not change result type: SELECT tasks.id" in "\n".join(told)
