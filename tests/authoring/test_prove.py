"""`prove` finds what a revision does to rows, to the way back, to a killed run and to code that runs."""

from __future__ import annotations

import hashlib
import json

import pytest
from sqlalchemy import make_url

from diwa_schema.authoring.prove import prove
from diwa_schema.errors import DatabaseUnreachable
from diwa_schema.migrations.manifest import load
from tests.forwarder import Forwarder

from .drafts import ID, list_anew, up, write

IMPORTS = """
from diwa_schema.models.types import ShortText
"""


def draft(root, call, code: str) -> str:
    """Put a revision after the history of a checkout, and return its id."""
    drafted = call("revision", "-m", "A draft", "--no-generate", "--json").stdout
    (made,) = json.loads(drafted)["revisions"]
    path = root / made["file"]
    path.write_text(path.read_text().partition("def upgrade")[0] + IMPORTS + code)
    list_anew(root)
    return str(made["revision"])


@pytest.fixture
def proven(own, server):
    """What puts a revision after the history of a checkout, and returns what is found of it, by part."""
    if not server.has_vector:
        pytest.skip("the history is written on a server with pgvector")
    root, call = own

    def of(code: str, check: int = 1):
        made = draft(root, call, code)
        document = json.loads(call("prove", made, "--json", check=check).stdout)
        assert document["revisions"] == [made]
        found: dict[tuple[str, str], str] = {}
        for one in document["failures"]:
            part = one["dialect"], one["part"]
            found[part] = f"{found.get(part, '')}{one['why']}\n"
        return found, document["dialects"]

    return of


def test_a_good_revision_has_nothing_against_it(proven):
    found, dialects = proven(
        'def upgrade():\n    op.add_column("tasks", sa.Column("temper", ShortText()))\n\n\n'
        'def downgrade():\n    op.drop_column("tasks", "temper")\n',
        check=0,
    )
    assert found == {}
    assert dialects == ["sqlite", "postgresql"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param(
            "def upgrade():\n    if op.get_context().dialect.name == 'postgresql':\n"
            "        op.execute('ALTER TABLE tasks ALTER title TYPE text')\n\n\n"
            "def downgrade():\n    if op.get_context().dialect.name == 'postgresql':\n"
            "        op.execute('ALTER TABLE tasks ALTER title TYPE varchar(255)')\n",
            "cached plan must not change result type",
            id="another-type",
        ),
        pytest.param(
            'def upgrade():\n    op.add_column("tasks",'
            ' sa.Column("temper", ShortText(), server_default="x", nullable=False))\n'
            '    if op.get_context().dialect.name == "postgresql":\n'
            '        op.alter_column("tasks", "temper", server_default=None)\n\n\n'
            'def downgrade():\n    op.drop_column("tasks", "temper")\n',
            "null value in column",
            id="a-column-that-must-be-filled",
            marks=pytest.mark.matrix,
        ),
    ],
)
def test_what_fails_connections_that_were_open_is_seen(proven, code, said):
    found, _ = proven(code)
    released = [("postgresql", "released code")] if any(one.released for one in load()) else []
    assert list(found) == [("postgresql", "old code"), *released]
    for part in found:
        assert said in found[part]


def test_values_that_do_not_come_back_are_seen_on_both(proven):
    found, _ = proven(
        'def upgrade():\n    op.execute("UPDATE tasks SET title = upper(title)")\n\n\ndef downgrade():\n    pass\n'
    )
    assert "tasks: title is" in found["sqlite", "down"]
    assert "tasks: title is" in found["postgresql", "down"]


@pytest.mark.matrix
def test_what_is_left_behind_is_seen(proven):
    found, _ = proven(
        'def upgrade():\n    op.add_column("tasks", sa.Column("temper", ShortText()))\n\n\ndef downgrade():\n    pass\n'
    )
    assert "temper" in found["postgresql", "down"]
    assert "temper" in found["sqlite", "down"]


@pytest.mark.matrix
def test_a_revision_that_fails_is_told(proven):
    found, _ = proven(
        'def upgrade():\n    op.execute("SELECT no_such_thing")\n\n\ndef downgrade():\n    pass\n'
    )
    assert "no_such_thing" in found["postgresql", "up"]
    assert "no_such_thing" in found["sqlite", "up"]


CHAIN = {
    "20990101000000": 'op.add_column("tasks", sa.Column("temper", ShortText()))',
    "20990101000001": 'steps.backfill("tasks", "temper = \'calm\'", where="temper IS NULL")',
    "20990101000002": 'steps.set_not_null("tasks", "temper")',
}
BACK = ('op.drop_column("tasks", "temper")', "pass", 'steps.drop_not_null("tasks", "temper")')


@pytest.mark.matrix
def test_revisions_that_belong_together_and_what_they_forget(own, monkeypatch):
    # On SQLite alone it is the same, and takes less.
    root, call = own
    monkeypatch.setenv("DIWA_TEST_DATABASE_URL", "sqlite://")
    versions, listed = (root / "src/diwa_schema/migrations" / name for name in ("versions", "manifest.json"))
    down = load().head
    for (one, call_), back in zip(CHAIN.items(), BACK, strict=True):
        path = write(
            versions, f"{up(call_)}\n\n\ndef downgrade() -> None:\n    {back}\n", name=f"{one}_mood.py"
        )
        path.write_text(
            path.read_text().replace(f'"{ID}"', f'"{one}"').replace(f'"{load().head}"', f'"{down}"')
        )
        down = one

    # Files that nobody has listed are listed first. NULL takes no part: it was filled before it was forbidden.
    filled = versions / "20990101000001_mood.py"
    filled.write_text(filled.read_text().replace("floor = None", 'floor = None\nforgets = ("tasks.temper",)'))
    _, *chosen = CHAIN
    document = json.loads(call("prove", *chosen, "--json").stdout)
    assert document == {"revisions": chosen, "dialects": ["sqlite"], "failures": []}
    entries = {one["revision"]: one for one in json.loads(listed.read_text())["revisions"]}
    assert [entries[one].get("forgets") for one in CHAIN] == [None, ["tasks.temper"], None]
    assert entries[filled.name[:14]]["sha256"] == hashlib.sha256(filled.read_bytes()).hexdigest()

    listed.write_text(listed.read_text().replace('"released": null', '"released": "0.1.0"'))
    filled.write_text(f"{filled.read_text()}# edited\n")
    before = listed.read_text()
    said = call("prove", filled.name[:14], check=2).stderr
    assert f"A released revision is never edited: {filled.name}." in said
    assert f"git checkout -- {filled}" in said
    assert listed.read_text() == before


@pytest.mark.usefixtures("owner_directory")
def test_a_server_that_goes_away_is_said(server, monkeypatch):
    address = make_url(server.admin_url)
    with Forwarder("127.0.0.1", (str(address.host), address.port or 5432)) as between:
        through = address.set(host="127.0.0.1", port=between.port)
        monkeypatch.setenv("DIWA_TEST_DATABASE_URL", through.render_as_string(hide_password=False))
        with pytest.raises(DatabaseUnreachable, match="The connection to the server ended during the proof"):
            prove([load().head], lambda _: between.__exit__())


def test_an_unknown_revision_is_refused(own):
    _, call = own
    assert "There is no revision 'nonsense'" in call("prove", "nonsense", check=2).stderr


@pytest.mark.matrix
def test_values_that_a_run_keeps_again_are_the_same_but_for_the_moment():
    assert prove(["20260306000400"]).failures == ()
