"""A right that is missing is met before the first revision: nothing is applied, and the statement that grants it is told."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

import diwa_schema
from diwa_schema import errors
from diwa_schema.migrations.manifest import load
from tests.fixtures_roles import Site, name_of
from tests.kit import shapes
from tests.run.asking import execute, value

pytestmark = pytest.mark.usefixtures("owner_directory")

HEAD, BELOW = load().head, "20260227100000"
GIVE = """DO $$ DECLARE one record; BEGIN FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
  AND tablename <> 'schema_migrations' LOOP EXECUTE format('ALTER TABLE %I OWNER TO "{role}"', one.tablename); END LOOP; END $$"""
DOWN = partial(diwa_schema.downgrade, revision=BELOW)

Call = Callable[..., object]
MISSING: dict[str, tuple[str, str, Call, str]] = {
    "functions, down": (HEAD, "", DOWN, "function diwa_schema_memory_versions_version_number.. belongs to"),
    "functions, drop": (HEAD, "", diwa_schema.drop, "function diwa_schema_organization.. belongs to"),
    "a table's owner": (
        BELOW,
        'REVOKE SELECT ON memories FROM "{role}"',
        diwa_schema.migrate,
        "owns memories",
    ),
    "plpgsql": (
        BELOW,
        "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC",
        diwa_schema.migrate,
        "LANGUAGE plpgsql",
    ),
    "vector": (BELOW, "REVOKE USAGE ON TYPE vector FROM PUBLIC", diwa_schema.migrate, "TYPE public.vector"),
}


@pytest.mark.parametrize("case", MISSING)
def test_a_right_that_is_missing_is_met_before_the_first_revision(site: Site, postgres, server, case):
    revision, taken, change, said = MISSING[case]
    if case == "vector" and not server.has_vector:
        pytest.skip("this server has no pgvector")
    diwa_schema.migrate(postgres, revision, settings=diwa_schema.Settings(replay=revision != HEAD))
    mine = site.login()
    role = name_of(mine)
    execute(postgres, f'GRANT CREATE, USAGE ON SCHEMA public TO "{role}"; {GIVE.format(role=role)}')
    if taken:
        execute(postgres, taken.format(role=role))
    with pytest.raises(errors.PermissionMissing, match=said) as caught:
        change(mine)
    assert value(postgres, "SELECT version_num FROM diwa_schema_version") == revision
    assert caught.value.untouched == errors.NOTHING_CHANGED
    granted = caught.value.next_step.partition("As a superuser: ")[2].rpartition(";")[0]
    execute(postgres, f"SET search_path = pg_catalog; {granted}")
    change(mine)


def test_a_list_of_ecto_that_belongs_to_somebody_else_is_met_before_the_takeover(site: Site, postgres):
    shapes.write(postgres, shapes.SHAPES["both_marked_bytes"])
    mine = site.login()
    role = name_of(mine)
    execute(
        postgres,
        f'GRANT CREATE, USAGE ON SCHEMA public TO "{role}"; GRANT ALL ON schema_migrations TO "{role}";'
        f"""DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO "{role}"', current_database()); END $$;"""
        + GIVE.format(role=role),
    )
    with pytest.raises(errors.PermissionMissing, match="schema_migrations belongs to"):
        diwa_schema.adopt(mine)
    assert value(postgres, "SELECT to_regclass('diwa_schema_version') IS NULL")


def test_the_list_of_another_application_is_left_to_it(site: Site, postgres):
    """Any Phoenix application has a list of that name: its migrator is neither waited for nor kept out."""
    execute(
        postgres,
        "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp(0));"
        "INSERT INTO schema_migrations VALUES (20200101000000, now())",
    )
    mine = site.login()
    role = name_of(mine)
    execute(
        postgres,
        f'GRANT CREATE, USAGE ON SCHEMA public TO "{role}"; GRANT SELECT ON schema_migrations TO "{role}"',
    )
    for change in (diwa_schema.migrate, DOWN, diwa_schema.migrate, diwa_schema.drop):
        change(mine)
        execute(postgres, "UPDATE schema_migrations SET inserted_at = now()")
    assert (
        value(postgres, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'schema_migrations'::regclass") == 0
    )
