"""What a takeover copies keeps its type and its ties: values that no driver hands back as it got them, and other tables."""

from __future__ import annotations

import json

import pytest

from diwa_schema import api
from diwa_schema.database.target import Target
from tests.kit import shapes

pytestmark = pytest.mark.usefixtures("owner_directory")


@pytest.fixture(params=["postgresql", "sqlite"])
def first_lineage(request):
    """A database of the agent's first lineage, with rows, and a table of the application's own beside it."""
    lite = request.param == "sqlite"
    url = request.getfixturevalue("sqlite" if lite else "postgres")
    shapes.write(url, shapes.SHAPES["agent_v1"])
    with Target.of(url).connect() as link:
        kind = "TEXT" if lite else "uuid"
        link.execute(f"CREATE TABLE notes (memory {kind} REFERENCES memories (id))")
        link.execute("INSERT INTO notes SELECT id FROM memories")
    return url


def test_values_keep_their_type_and_other_tables_follow(first_lineage):
    lite = first_lineage.startswith("sqlite")
    exact = '{"n": 12345678901234567890.123456789, "a": [null, "x"], "t": "\\u00e9"}'
    with Target.of(first_lineage).connect() as link:
        if lite:
            link.execute("UPDATE memories SET metadata = %s", (exact,))
        else:
            link.execute(
                f"ALTER TABLE memories ALTER metadata DROP DEFAULT, ALTER metadata TYPE jsonb USING '{exact}'"
            )
            link.execute("UPDATE memories SET inserted_at = 'infinity', updated_at = '-infinity'")
    api.adopt(first_lineage)
    with Target.of(first_lineage).connect() as link:
        found = {text for (text,) in link.rows("SELECT CAST(metadata AS text) FROM memories")}
        assert all("12345678901234567890.123456789" in text for text in found)
        assert [json.loads(text) for text in found] == [json.loads(exact)]
        if lite:
            assert link.rows("SELECT \"table\" FROM pragma_foreign_key_list('notes')") == [("memories",)]
            return
        assert link.rows("SELECT DISTINCT CAST(inserted_at AS text) FROM memories") == [("infinity",)]
        target = (
            "SELECT CAST(confrelid AS regclass)::text FROM pg_constraint WHERE conrelid = 'notes'::regclass"
        )
        assert link.rows(f"{target} AND contype = 'f'") == [("memories",)]
