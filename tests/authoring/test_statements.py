"""What the models send is recorded whole, and noticed where it no longer works on connections that were open."""

from __future__ import annotations

import inspect

import pytest

from diwa_schema import queries
from diwa_schema.authoring import prove, statements
from diwa_schema.authoring.clients import connected
from diwa_schema.authoring.statements import Recorded
from diwa_schema.migrations import manifest
from diwa_schema.migrations.manifest import Manifest
from diwa_schema.models import Base
from tests.run.asking import execute, value

# The clients that stay connected, and how each says that a result has changed its type.
CLIENTS = {
    "psycopg": "cached plan must not change result type",
    "SQLAlchemy over psycopg": "cached plan must not change result type",
    "asyncpg": "cached statement plan is invalid due to a database schema or configuration change",
}


@pytest.fixture
def at_release(server, new_database, head_template):
    """A database at head with rows, and what the models have sent to it."""
    if not server.has_vector:
        pytest.skip("a release is made on a server with pgvector")
    pytest.importorskip("asyncpg")
    url = new_database(head_template)
    return url, statements.record(url)


def test_each_model_and_each_query_is_recorded_and_watched(at_release, monkeypatch):
    url, sent = at_release
    texts = [one.sql for one in sent]
    for table in Base.metadata.tables:
        for begins in (f"INSERT INTO {table} (", f"UPDATE {table} SET", f"DELETE FROM {table} WHERE"):
            assert [one for one in texts if one.startswith(begins)], begins
        assert [one for one in texts if one.startswith(f"SELECT {table}.")], table
    source = inspect.getsource(statements)
    assert [name for name in queries.__all__ if f"queries.{name}(" not in source] == []
    kept = Recorded("0.1.1", manifest.load().head, sent)
    monkeypatch.setattr(manifest, "content", lambda _: statements.render(kept).encode())
    assert statements.load() == kept

    hashed = "SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {} t"
    rows = {table: value(url, hashed.format(table)) for table in Base.metadata.tables}
    with connected(url, sent) as again:
        assert again() == []
        assert {table: value(url, hashed.format(table)) for table in rows} == rows
        # Whatever leaves results and parameters alone.
        execute(
            url,
            "ALTER TABLE tasks ADD COLUMN temper text",
            "ALTER TABLE memories ALTER content SET NOT NULL, ALTER severity SET DEFAULT 'x'",
            "CREATE INDEX ON tasks (title)",
        )
        assert again() == []
        execute(url, "ALTER TABLE tasks ALTER title TYPE text")
        retyped = again()
        execute(url, "ALTER TABLE contexts ADD tier text NOT NULL DEFAULT 'x'")
        execute(url, "ALTER TABLE contexts ALTER tier DROP DEFAULT")
        unfilled = again()
    for client, words in CLIENTS.items():
        assert [one for one in retyped if one.startswith(f"{client}: {words}: SELECT tasks.id")], client
        assert [one for one in unfilled if one.startswith(f'{client}: null value in column "tier"')], client
    assert [one for one in retyped if " tasks" not in one] == []


def test_after_a_contract_the_release_has_to_be_refused(at_release, monkeypatch):
    url, sent = at_release
    known = manifest.load()
    last = known.get(known.head)._replace(phase="contract", floor=known.head)
    broken = Manifest((*known.revisions[:-1], last), known.tables)
    monkeypatch.setattr(statements, "load", lambda: Recorded("0.1.1", known.ids[-2], sent))
    with prove._released_code(url, "postgresql", known.get(known.head)) as again:
        assert again() == []
    monkeypatch.setattr(manifest, "load", lambda: broken)
    with prove._released_code(url, "postgresql", last) as again:
        (why,) = again()
        assert "ensure_current of 0.1.1 lets that release start" in why
        execute(url, f"UPDATE diwa_schema_version SET floor = '{known.head}'")
        assert again() == []
    monkeypatch.setattr(manifest, "load", lambda: known)
    with prove._released_code(url, "postgresql", known.get(known.head)) as again:
        (why,) = again()
        assert "ensure_current of 0.1.1 refuses" in why


def test_new_code_is_kept_out_before_its_revision_and_let_in_after_it(new_database, head_template):
    url, known = new_database(head_template), manifest.load()
    head = known.get(known.head)
    # Here the revision is there already, so nobody was kept out before it.
    (why,) = prove._new_code(url, head)()
    assert why == "before the revision, ensure_current says '' and does not name it"
    execute(url, f"UPDATE diwa_schema_version SET version_num = '{head.down_revision}'")
    after = prove._new_code(url, head)
    (why,) = after()
    assert why.startswith("after the revision, ensure_current refuses: The schema of ")
    assert f"this application needs {head.revision}. Pending: {head.revision} {head.slug}." in why
    execute(url, f"UPDATE diwa_schema_version SET version_num = '{head.revision}'")
    assert after() == []
