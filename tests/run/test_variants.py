"""Every shape that Ecto left is taken over, comes to head, and keeps every value on the way there and back."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from diwa_schema import api
from diwa_schema.database.target import Target
from diwa_schema.migrations.manifest import load
from diwa_schema.models.types.erlang import decode_floats
from tests.kit import shapes
from tests.run.asking import execute
from tests.sampling import sampled

pytestmark = pytest.mark.usefixtures("owner_directory")

HEAD = load().head
BEFORE_THE_COLUMN = load().get("20260307000000").down_revision or ""
Rows = dict[str, dict[str, dict[str, object]]]
EMBEDDINGS = ("memories", "embedding_cache")
# What the package itself adds to a database, and Ecto's own account, which is kept in step.
NOT_OURS = ("schema_migrations", "diwa_schema_version", "diwa_schema_ledger", "diwa_schema_releases")
# Where these were left empty, the database fills them.
FILLED = {
    ("memories", "organization_id"),
    ("organizations", "slug"),
    ("memory_versions", "version_number"),
}


def content(url: str) -> Rows:
    """Return every row of every table by its key, embeddings aside."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        tables = connection.execute(
            "SELECT c.relname, (SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"
            " AND a.attnum = i.indkey[0] WHERE i.indrelid = c.oid AND i.indisprimary) AS key"
            " FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY 1"
        ).fetchall()
        return {
            table["relname"]: {
                str(row["row"][table["key"]]): row["row"]
                for row in connection.execute(
                    f"SELECT to_jsonb(t) - 'tsv_content' - 'embedding' AS row FROM {table['relname']} t"
                )
            }
            for table in tables
            if table["relname"] not in NOT_OURS
        }


def embeddings(url: str) -> dict[tuple[str, str], list[float] | bytes]:
    """Return every embedding as numbers, whatever holds it: a vector, bytes, or the archive."""
    found: dict[tuple[str, str], list[float] | bytes] = {}
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('diwa_schema_embedding_archive')").fetchone() != (None,):
            for table, row, value in connection.execute(
                "SELECT table_name, row_id::text, value FROM diwa_schema_embedding_archive ORDER BY archived_at"
            ):
                found[table, row] = _numbers(value)
        for table in EMBEDDINGS:
            if connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() == (None,):
                continue
            for row, kind, value in connection.execute(
                f"SELECT id::text, pg_typeof(embedding)::text, CASE WHEN pg_typeof(embedding)::text = 'bytea'"
                f" THEN embedding::text END FROM {table} WHERE embedding IS NOT NULL"
            ):
                if kind == "bytea":
                    found[table, row] = _numbers(bytes.fromhex(value[2:]))
                else:
                    text = connection.execute(
                        f"SELECT embedding::text FROM {table} WHERE id = %s", (row,)
                    ).fetchone()
                    assert text is not None
                    found[table, row] = _rounded(json.loads(text[0]))
    return found


def _numbers(value: bytes) -> list[float] | bytes:
    numbers = decode_floats(value)
    return value if numbers is None else _rounded(numbers)


def _rounded(numbers: list[float]) -> list[float]:
    return [round(number, 4) for number in numbers]


def assert_all_there(before: Rows, after: Rows, kept: dict[tuple[str, str, str], str]) -> None:
    """Every value of before stands in after, in its own column or among the kept values."""
    for table, rows in before.items():
        for key, row in rows.items():
            now = after[table][key]
            for column, value in row.items():
                if value is None and (table, column) in FILLED:
                    continue
                # What is kept is kept as text.
                was = kept.get((table, key, column))
                found = now[column] if was is None else was
                assert found == (value if was is None else str(value)), (table, key, column)


def kept_values(url: str) -> dict[tuple[str, str, str], str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT table_name, row_id::text, column_name, value FROM diwa_schema_kept_values"
        )
        return {(table, row, column): value for table, row, column, value in rows}


OF_ONE_HISTORY = [name for name in shapes.SHAPES if name not in ("agent_v1", "agent_release")]


# Each cause of a difference once: rows that break rules, the column of Ecto's code, an agent's buffer, bytes, and a
# migration that never ended.
ALWAYS = ("head_dirty", "head_organization", "agent_local", "both_marked_bytes", "stuck_31")


@pytest.mark.parametrize("name", sampled(OF_ONE_HISTORY, *ALWAYS))
def test_a_variant_is_taken_over_and_loses_nothing(name, legacy, dump):
    take_over_and_back(legacy(name), dump)


@pytest.mark.parametrize(
    "file",
    sampled((file for file in shapes.FILES if file != shapes.LITE_FILE), "ecto_cloud_head"),
)
def test_a_database_of_the_facts_is_taken_over_and_loses_nothing(file, legacy_file, dump):
    take_over_and_back(legacy_file(file), dump)


def take_over_and_back(url, dump):
    before, vectors = content(url), embeddings(url)
    assert sum(map(len, before.values())) > 50
    assert len(vectors) > 5
    untouched = dump(url)
    found = api.examine(url)
    assert found.differences == ()
    assert dump(url) == untouched

    kinds = embedding_types(url)
    adopted = api.adopt(url).after
    assert adopted is not None
    assert drift(url) == []
    assert api.migrate(url).after == HEAD
    assert drift(url) == []
    # Only Ecto's own migration changes a type: it makes a vector of another length one of 1536.
    assert {*embedding_types(url).items()} - {("memories", "vector(1536)")} <= {*kinds.items()} | {
        (table, kind) for table, kind in embedding_types(url).items() if table not in kinds
    }
    assert_all_there(before, content(url), kept_values(url))
    assert embeddings(url) == vectors

    report = api.downgrade(url, adopted, confirm=url.rpartition("/")[2].partition("?")[0])
    assert report.after == adopted
    there = content(url)
    there.setdefault("tala_operations", {})
    assert_all_there(before, there, {})
    assert embeddings(url) == vectors
    assert drift(url) == []


@pytest.mark.parametrize("name", sampled(["stuck_31", "v0_1_0_community", "agent_v1"], "agent_v1"))
def test_bytes_stay_bytes_until_somebody_asks(name, legacy, server):
    if not server.has_vector:
        pytest.skip("needs pgvector")
    url = legacy(name)
    vectors = embeddings(url)
    api.adopt(url)
    api.migrate(url)
    assert set(embedding_types(url).values()) == {"bytea"}
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT FROM pg_extension WHERE extname = 'vector'").fetchall() == []
    assert api.check(url) == []
    api.enable_vector(url)
    assert set(embedding_types(url).values()) == {"vector(1536)"}
    assert embeddings(url) == vectors
    api.disable_vector(url)
    assert set(embedding_types(url).values()) == {"bytea"}
    assert embeddings(url) == vectors
    assert drift(url) == []


@pytest.mark.matrix
def test_a_column_of_ectos_code_is_a_note_and_nothing_drops_it(legacy, cli):
    url = legacy("head_organization_bytes")
    cli("adopt", "--url", url, check=0)
    cli("upgrade", BEFORE_THE_COLUMN, "--url", url, check=0)
    done = cli("check", "--url", url, check=0)
    assert "note: column organization_id" in done.stdout
    assert "DROP" not in done.stdout
    cli("upgrade", "--url", url, check=0)
    assert "DROP" not in cli("check", "--url", url, check=0).stdout


@pytest.mark.parametrize(
    ("column", "fix"),
    [
        ("varchar(255)", "ALTER COLUMN organization_id TYPE uuid USING"),
        ("uuid NOT NULL DEFAULT gen_random_uuid()", "ALTER COLUMN organization_id DROP DEFAULT"),
    ],
    ids=["text", "default"],
)
def test_a_column_of_that_name_that_leads_to_no_organization_is_told_before_the_first_revision(
    legacy, cli, column, fix
):
    url = legacy("head_fresh")
    execute(url, f"ALTER TABLE memories ADD COLUMN organization_id {column}")
    done = cli("adopt", "--url", url, check=7)
    said = f"{done.stdout}{done.stderr}".replace('"', "")
    assert fix in said
    assert "DROP COLUMN" not in said


def drift(url: str) -> list[str]:
    return [one.text for one in api.check(url) if one.severity == "drift"]


def embedding_types(url: str) -> dict[str, str]:
    with psycopg.connect(url) as connection:
        return dict(
            connection.execute(
                "SELECT c.relname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a"
                " JOIN pg_class c ON c.oid = a.attrelid WHERE a.attname = 'embedding' AND c.relkind = 'r'"
                " AND c.relname = ANY(%s)",
                ([*EMBEDDINGS],),
            ).fetchall()
        )


@pytest.mark.matrix  # `check` compares each of them with the one shape as well
def test_all_variants_end_in_one_shape(legacy):
    from diwa_schema.drift.optional import is_optional
    from diwa_schema.drift.read import read

    ends = {}
    for name in (
        "head_fresh",
        "head_upgraded",
        "head_skipped",
        "agent_local",
        "both_marked",
        "v0_1_0_community",
    ):
        url = legacy(name)
        api.adopt(url)
        api.migrate(url)
        with Target.of(url).connect() as link:
            tables = read(link, tables=[*load().tables, *load().leftovers]).tables
        ends[name] = {
            table.name: (
                # Both kinds of embeddings are at home.
                {(one.name, one.name == "embedding" or one.type, one.nullable) for one in table.columns},
                {index for index in table.indexes if not is_optional(table.name, index.name)},
                table.foreign_keys,
            )
            for table in tables
        }
    assert len(ends["head_fresh"]) == len(load().tables) + 2
    for name, shape in ends.items():
        assert shape == ends["head_fresh"], name


# On SQLite shapes differ by their tables only, not by what holds an embedding.
ON_SQLITE = (
    "head_dirty",
    "stuck_31",
    "mid_january_code",
    "agent_local",
    "both_marked",
    "v0_1_0_community",
    "seven_rows",
    "head_organization",
)


@pytest.mark.parametrize(
    "name", sampled(ON_SQLITE, "head_dirty", "agent_local", "head_organization", "stuck_31")
)
def test_a_variant_on_sqlite_is_taken_over_and_loses_nothing(name, legacy):
    url = legacy(name, lite=True)
    before = content_of_sqlite(url)
    assert sum(map(len, before.values())) > 50
    adopted = api.adopt(url).after
    assert adopted is not None
    assert drift(url) == []
    assert api.migrate(url).after == HEAD
    assert drift(url) == []
    after = content_of_sqlite(url)
    kept = {
        (str(row["table_name"]), str(row["row_id"]), str(row["column_name"])): str(row["value"])
        for row in after["diwa_schema_kept_values"].values()
    }
    assert_all_there(before, after, kept)
    assert api.downgrade(url, adopted, confirm=Path(url).name).after == adopted
    assert_all_there(before, content_of_sqlite(url), {})


def content_of_sqlite(url: str) -> Rows:
    """Return every row of every table by its first column, or by its place among the kept values."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.row_factory = sqlite3.Row
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: {
                str(number if name.startswith("diwa_schema_") else row[0]): dict(row)
                for number, row in enumerate(connection.execute(f"SELECT * FROM {name}"))
            }
            for name in names
            if name not in NOT_OURS
        }
