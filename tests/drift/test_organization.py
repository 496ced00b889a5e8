"""The function that fills a memory's organization is looked at, fixed, and gone with the table."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa

from diwa_schema import api
from diwa_schema.models import Base
from diwa_schema.models.filled import FILLINGS

pytestmark = pytest.mark.usefixtures("owner_directory")

FUNCTIONS = (
    "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname ~ '^diwa_schema'"
)
NAME = "diwa_schema_organization()"
CHANGES = {
    "another code": f"CREATE OR REPLACE FUNCTION {NAME} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
    " AS 'BEGIN RETURN NEW; END'",
    "the writer's rights": f"ALTER FUNCTION {NAME} SECURITY INVOKER",
    "neither trigger nor function": f"DROP FUNCTION {NAME} CASCADE",
    "no function of a column": f"DROP FUNCTION {FILLINGS[0].function} CASCADE",
    "not in replicas": "ALTER TABLE memories ENABLE TRIGGER memories_organization_id_filled",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_it_is_found_and_fixed(postgres: str, change: str):
    api.migrate(postgres)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(CHANGES[change].encode())
        found = [one for one in api.check(postgres) if one.severity == "drift"]
        assert {one.kind for one in found} == {"trigger"}
        for one in found:
            for statement in one.fix.statements:
                connection.execute(statement.encode())
        assert api.check(postgres) == []


def test_the_fix_of_a_trigger_calls_the_function_of_its_schema(postgres: str):
    """Whoever runs the statements may have a path to another schema with functions of these names."""
    api.migrate(postgres)
    gone = (
        "SELECT format('DROP TRIGGER %I ON tenant.%I', tgname, relname) FROM pg_trigger g JOIN pg_class c ON c.oid ="
        " tgrelid JOIN pg_proc p ON p.oid = tgfoid WHERE relnamespace = 'tenant'::regnamespace AND NOT tgisinternal"
    )
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA tenant")
        api.migrate(postgres, schema="tenant")
        called = (
            "SELECT DISTINCT pronamespace::regnamespace::text" + gone[gone.index(" FROM") :] + " ORDER BY 1"
        )
        before = connection.execute(called.encode()).fetchall()
        for (statement,) in connection.execute(gone.encode()).fetchall():
            connection.execute(statement.encode())
        for one in api.check(postgres, schema="tenant"):
            for statement in one.fix.statements:
                connection.execute(statement.encode())
        assert connection.execute(called.encode()).fetchall() == before
        assert ("public",) not in before
        assert api.check(postgres, schema="tenant") == []


@pytest.mark.parametrize("way", ["drop", "base", "drop_all"])
def test_nothing_of_it_is_left_without_the_table(postgres: str, way: str):
    engine = sa.create_engine(postgres.replace("postgresql://", "postgresql+psycopg://"))
    if way == "drop_all":
        Base.metadata.create_all(engine)
    else:
        api.migrate(postgres)
    with psycopg.connect(postgres, autocommit=True) as connection:
        assert connection.execute(FUNCTIONS).fetchone() == (1 + len(FILLINGS),)
        if way == "drop_all":
            Base.metadata.drop_all(engine)
        elif way == "drop":
            api.drop(postgres)
        else:
            api.downgrade(postgres, "base")
        assert connection.execute(FUNCTIONS).fetchone() == (0,)
    engine.dispose()
