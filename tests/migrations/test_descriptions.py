"""What columns hold is said in the database, where nobody has said something else."""

from __future__ import annotations

import subprocess

import pytest
import sqlalchemy as sa

import diwa_schema
from diwa_schema.database.target import Target
from diwa_schema.migrations import steps
from diwa_schema.migrations.revisions import operations
from diwa_schema.models import Base
from diwa_schema.testing import embedded
from tests.fixtures_checkout import Cli

from .replaying import HISTORY, IDS

pytestmark = pytest.mark.usefixtures("owner_directory")

BEFORE, WRITTEN = "20260308000000", "20260309000000"
OWN = "Never delete: see ticket 'FOO-1', \\ and 100 % of %s"
TEXTS = HISTORY[IDS.index(WRITTEN)].TEXTS
PLACE, LOST = "memories.actor", "tasks.title"


@pytest.fixture
def before(postgres: str) -> str:
    """A database in which somebody has commented a column, and nobody the others."""
    diwa_schema.migrate(postgres, BEFORE)
    say(postgres, PLACE, OWN)
    return postgres


def say(url: str, place: str, text: str | None) -> None:
    words = "NULL" if text is None else "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    with Target.of(url).connect() as link:
        link.execute(f"COMMENT ON COLUMN {place} IS {words}")


def read(url: str) -> dict[str, str]:
    with Target.of(url).connect() as link:
        return dict(
            link.rows(
                "SELECT c.relname || '.' || a.attname, col_description(c.oid, a.attnum) FROM pg_attribute a"
                " JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = current_schema()::regnamespace"
                " AND col_description(c.oid, a.attnum) IS NOT NULL"
            )
        )


def wanted() -> dict[str, str]:
    """What the models say."""
    return {
        f"{table.name}.{column.name}": str(column.comment)
        for table in Base.metadata.tables.values()
        for column in table.columns
    }


def test_a_new_database_says_of_each_column_what_the_models_say(postgres: str) -> None:
    diwa_schema.migrate(postgres)
    assert read(postgres) == wanted()
    assert wanted()["memories.confidence"].endswith(" is. Unit: share, 0 to 1.")


def test_a_comment_of_somebody_else_stays_on_the_way_up_and_down(before: str) -> None:
    diwa_schema.migrate(before)
    assert read(before) == {**wanted(), PLACE: OWN}
    assert diwa_schema.check(before) == []
    diwa_schema.downgrade(before, BEFORE)
    assert read(before) == {PLACE: OWN}
    assert diwa_schema.check(before) == []


def test_a_text_arrives_with_all_its_characters(postgres: str) -> None:
    diwa_schema.migrate(postgres)
    table, _, column = PLACE.partition(".")
    text = OWN + " %(name)s %% :name \\:name $do$ {x}"
    engine = sa.create_engine(postgres.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection, operations(connection, {}):
        steps.describe({table: {column: text}}, instead_of=TEXTS)
    engine.dispose()
    assert read(postgres) == {**wanted(), PLACE: text}


def test_a_text_that_somebody_has_changed_since_stays_on_the_way_down(postgres: str) -> None:
    diwa_schema.migrate(postgres)
    say(postgres, PLACE, OWN)
    diwa_schema.downgrade(postgres, BEFORE)
    assert read(postgres) == {PLACE: OWN}


def test_the_printed_statements_do_the_same(before: str, cli: Cli) -> None:
    run_printed(before, cli("upgrade", f"{BEFORE}:{WRITTEN}", "--sql", "--url", before, check=0).stdout)
    said = {f"{table}.{name}": text for table, texts in TEXTS.items() for name, text in texts.items()}
    assert read(before) == {**said, PLACE: OWN}
    run_printed(before, cli("downgrade", f"{WRITTEN}:{BEFORE}", "--sql", "--url", before, check=0).stdout)
    assert read(before) == {PLACE: OWN}


def run_printed(url: str, statements: str) -> None:
    psql = [str(embedded.programs() / "psql"), "-qX", "-v", "ON_ERROR_STOP=1", url]
    subprocess.run(psql, input=statements, text=True, check=True)


def test_check_tells_of_a_text_that_is_gone_and_of_none_that_is_another(
    postgres: str,
) -> None:
    diwa_schema.migrate(postgres)
    say(postgres, LOST, None)
    say(postgres, PLACE, OWN)
    (one,) = diwa_schema.check(postgres)
    assert (one.table, one.object, one.problem, one.safe) == ("tasks", "title", "changed", True)
    assert one.statement == f"""COMMENT ON COLUMN "public"."tasks"."title" IS '{wanted()[LOST]}';"""
    with Target.of(postgres).connect() as link:
        link.script(one.statement)
    assert diwa_schema.check(postgres) == []
    assert read(postgres) == {**wanted(), PLACE: OWN}
