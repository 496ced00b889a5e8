"""`lint --observe` runs revisions in a shadow and says what their text does not show."""

from __future__ import annotations

import json

import pytest

from diwa_schema.authoring.rule import NEXT
from diwa_schema.authoring.rules import observed

from .drafts import judged, rules, up, write
from .test_prove import draft

REASON = 'lint_ignore = {"sql-not-seen": "what it does is looked at on a server"}'


def hidden(statement):
    """Return a revision that does something in a block of code."""
    block = f"DO $do$ BEGIN EXECUTE $it${statement}$it$; END $do$"
    return f'{REASON}\n\n\ndef upgrade():\n    op.execute("{block}")\n\n\ndef downgrade():\n    pass\n'


@pytest.fixture
def looked(own, server):
    """What lints a draft of a checkout with a server."""
    if not server.has_vector:
        pytest.skip("the history is written on a server with pgvector")
    root, call = own

    def at(code, *, check=1):
        made = draft(root, call, code)
        (path,) = root.glob(f"src/diwa_schema/migrations/versions/{made}_*.py")
        return json.loads(call("lint", str(path), "--observe", "--json", check=check).stdout)

    return at


@pytest.mark.parametrize(
    ("rule", "statement", "column"),
    [
        ("seen-to-rewrite", "ALTER TABLE tasks ADD luck float DEFAULT random()", None),
        ("seen-to-scan", "ALTER TABLE tasks ADD CONSTRAINT c CHECK (title <> 'never this one')", None),
        ("seen-to-retype", "ALTER TABLE tasks ALTER title TYPE text", "title"),
    ],
)
def test_what_a_block_of_code_does_is_seen_on_a_server(looked, tmp_path, rule, statement, column):
    document = looked(hidden(statement))
    (finding,) = document["findings"]
    assert (finding["rule"], finding["table"], finding["column"]) == (rule, "tasks", column)
    assert document["not_looked_at"] == []
    for number, safe in enumerate(finding["instead"].split(NEXT)):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert rules(judged(folder, safe)) == [], safe


def test_what_only_changes_the_catalog_has_nothing_to_find(looked):
    assert looked(hidden("ALTER TABLE tasks ADD temper text"), check=0) == {
        "findings": [], "revisions": 1, "not_looked_at": [],
    }  # fmt: skip


@pytest.mark.matrix
def test_what_the_text_shows_or_the_revision_declares_is_not_said_twice(looked):
    plain = looked(
        'def upgrade():\n    op.create_index("i", "tasks", ["title"])\n\n\ndef downgrade():\n    pass\n'
    )
    assert [one["rule"] for one in plain["findings"]] == ["index-blocks-writes"]
    declared = hidden("ALTER TABLE tasks ADD luck float DEFAULT random()").replace(
        REASON, f'{REASON}\nrewrites = ("tasks",)'
    )
    assert looked(declared, check=0)["findings"] == []


def test_without_a_server_the_rules_of_the_trace_are_named_and_no_reason_is_unused(tmp_path, cli):
    path = write(tmp_path, up("pass"))
    for words in ((), ("--observe",)):
        # A file outside of this package's history is not run.
        done = cli("lint", str(path), *words, check=0)
        assert f"these rules were not checked: {', '.join(observed.IDS)}." in done.stdout
    reason = 'lint_ignore = {"seen-to-scan": "the table is empty until the next release"}'
    review = judged(tmp_path, up("pass", before=reason))
    assert (rules(review), review.not_looked_at) == ([], observed.IDS)


def test_a_revision_that_fails_on_the_server_is_said(own, server, looked):
    if not server.has_vector:
        pytest.skip("the history is written on a server with pgvector")
    root, call = own
    made = draft(root, call, hidden("ALTER TABLE absent ADD temper text"))
    (path,) = root.glob(f"src/diwa_schema/migrations/versions/{made}_*.py")
    done = call("lint", str(path), "--observe", check=6)
    assert "fails in the trial" in done.stderr
