"""`diwa_survives` fails where a statement of the application does not survive the upgrade, and says which."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest

from diwa_schema.authoring import downstream
from diwa_schema.errors import UnknownRevision, UsageError
from diwa_schema.migrations.ecto import LAST
from diwa_schema.migrations.manifest import Manifest, load
from tests.repository.test_ci_files import ROOT

PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
*_, BLOCK = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TESTS = """
import sqlalchemy as sa
from diwa_schema.queries import newest_memories


def test_breaks(diwa_survives):
    def work(session):
        session.add(Organization(name="Acme", slug="acme"))
        session.commit()
        assert session.query(Organization).filter_by(slug="acme").one().name == "Acme"
        # One of its columns comes with the upgrade.
        assert session.scalars(newest_memories()).first() is not None
        session.execute(sa.text("SELECT id, session_id FROM tala_operations")).all()

    diwa_survives(work)


def test_nothing(diwa_survives):
    diwa_survives(lambda session: None)
"""


def test_what_survives_passes_and_what_does_not_is_named(checkout, server):
    checkout.write(f"{BLOCK}\n\n{TESTS}")
    result = checkout.run("-n0", dsn=server.admin_url)
    result.assert_outcomes(passed=1, failed=2)
    printed = result.stdout.str()
    (said,) = re.findall(
        r"^These statements do not survive the upgrade of the schema:\n((?:.*: SELECT .*\n)+)",
        printed,
        re.MULTILINE,
    )
    assert said.splitlines()[:2] == [
        f"{client}: cached plan must not change result type: SELECT id, session_id FROM tala_operations"
        for client in ("psycopg", "SQLAlchemy over psycopg")
    ]
    assert len(said.splitlines()) == 2 + bool(find_spec("asyncpg"))
    assert "The work sent nothing to a table of the schema, so nothing was proven." in printed
    assert "Traceback" not in printed
    assert "During handling" not in printed


def test_what_it_begins_at_is_a_release_or_what_ecto_left():
    known = load()
    assert downstream._revision(known, None) == LAST
    released = [one._replace(released="0.1.0") for one in known][:-2]
    released += [one._replace(released="0.2.0") for one in known.revisions[-2:]]
    unreleased = released[-1]._replace(released=None)
    both, fresh = Manifest(tuple(released), ()), Manifest((*released[:-1], unreleased), ())
    assert downstream._revision(both, None) == released[-3].revision
    assert downstream._revision(fresh, None) == released[-2].revision
    assert downstream._revision(both, "0.1.0") == released[-3].revision
    with pytest.raises(UnknownRevision):
        downstream._revision(both, "0.3.0")
    with pytest.raises(UsageError, match="there is no server"):
        downstream.breaking(lambda _: None, dsn="sqlite://")
