"""The fingerprints of many tenants: read together, and each the one that a reading of it alone has."""

from __future__ import annotations

import pytest

from diwa_schema.database.target import Target
from diwa_schema.fleet import Fleet, Member, Schedule, Schemas, crew, digest as digests
from diwa_schema.fleet.digest import fingerprint, together
from tests.fleet.tenants import TENANTS, execute

CHANGES = {
    "tenant_1": "ALTER TABLE tenant_1.tasks ADD COLUMN mine int",
    "tenant_2": "CREATE RULE nothing AS ON DELETE TO tenant_2.tasks DO INSTEAD NOTHING",
    "tenant_3": "SELECT 1",
}


@pytest.fixture
def changed(tenants: str) -> str:
    """The URL of a database whose tenants all look otherwise."""
    execute(tenants, *CHANGES.values())
    return tenants


def of(url: str) -> dict[str, str | None]:
    return {one.name: one.digest for one in Fleet(Schemas(url, "tenant_*")).digest().outcomes}


def alone(url: str) -> dict[str, str]:
    with Target.of(url).connect() as link:
        return {tenant: fingerprint(link, tenant) for tenant in TENANTS}


def test_each_has_the_fingerprint_that_it_has_alone(changed):
    assert of(changed) == alone(changed)
    assert len(set(alone(changed).values())) == 3


def test_those_that_look_alike_are_read_once_and_start_no_process(tenants, monkeypatch):
    read = []

    def noted(_, schema):
        read.append(schema)
        return "0" * 16

    monkeypatch.setattr(digests, "fingerprint", noted)
    monkeypatch.setattr(crew.Crew, "_started", lambda _: pytest.fail("a process was started"))
    assert set(of(tenants).values()) == {"0" * 16}
    assert len(read) == 1


def test_one_that_changes_while_it_is_read_tells_for_nobody(tenants, monkeypatch):
    def read(link, schema):
        found = fingerprint(link, schema)
        if schema == "tenant_1":
            execute(tenants, "ALTER TABLE tenant_1.tasks ADD COLUMN mine int")
        return found

    monkeypatch.setattr(digests, "fingerprint", read)
    found, _ = Fleet(Schemas(tenants, "tenant_*")).census()
    digests_of = {name[-1]: one for name, one in together(found, Schedule(jobs=1)).items()}
    monkeypatch.undo()
    now = alone(tenants)
    assert digests_of == {tenant: now[tenant] for tenant in ("tenant_2", "tenant_3")}


def test_a_schema_that_is_not_there_is_not_compared(tenants):
    missing = [Member(tenants, name) for name in ("tenant_8", "tenant_9")]
    report = Fleet(Member(tenants, "tenant_1"), *missing).digest()
    assert [str(one.result) for one in report.outcomes] == ["done", "failed", "failed"]
    assert "does not exist" in report.outcomes[1].detail
    assert 'CREATE SCHEMA "tenant_8"; GRANT' in str(report.outcomes[1].error)
    assert not report.notes
