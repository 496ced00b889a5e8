"""What many rows mean for a run: a revision that rewrites them says so beforehand, and asks."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from tests.fixtures_databases import database_name
from tests.run import seeds
from tests.run.asking import execute, value

BEFORE, REWRITES = "20260302000200", "20260302000300"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
VERSION = "SELECT version_num FROM diwa_schema_version"
FILL = """
INSERT INTO tala_operations (id, session_id, context_id, tool_name, params, status, inserted_at)
SELECT gen_random_uuid(), gen_random_uuid()::text, 'no uuid ' || n, 'tool', '{{}}', 'pending', now()
FROM generate_series(1, {rows}) n
"""


@pytest.fixture
def filled(launcher, postgres):
    def fill(rows):
        assert launcher.run("upgrade", BEFORE, "--url", postgres).code == 0
        execute(postgres, FILL.format(rows=rows))
        return postgres

    return fill


def test_it_is_refused_before_anything_is_changed(launcher, filled, dump):
    url = filled(2_001)
    before = dump(url)
    refused = launcher.run("upgrade", "--url", url)
    assert refused.code == 2, refused.err
    assert f"Revision {REWRITES} (tala_unified) would make the application wait" in refused.err
    assert "tala_operations, of more than 2,000 rows" in refused.err
    assert "--allow-stall" in refused.err
    assert dump(url) == before


def test_the_plan_says_so(launcher, filled):
    url = filled(2_001)
    # Autovacuum counts the rows and adds maps of its own when it comes by: neither is to happen in between.
    execute(url, "ALTER TABLE tala_operations SET (autovacuum_enabled = false)")
    unseen = launcher.run("plan", "--url", url, "--json")
    execute(url, "ANALYZE tala_operations")
    size = value(url, "SELECT pg_total_relation_size('tala_operations')")
    planned = launcher.run("plan", "--url", url)
    assert planned.code == 0, planned.err
    assert json.loads(unseen.out)["sizes"]["tala_operations"] == {"rows": None, "size": size}
    assert f"tala_operations is rewritten or retyped: about 2,001 rows, {size:,} bytes." in planned.out
    marked = [line for line in planned.out.splitlines() if "STALLS" in line]
    assert [line.split()[0] for line in marked] == [REWRITES]
    assert "needs --allow-stall" in marked[0]


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        pytest.param(2_001, ["--allow-stall"], id="allowed"),
        pytest.param(2_001, ["--max-stall", "200"], id="a longer stall"),
        pytest.param(2_000, [], id="few rows"),
    ],
)
def test_it_runs_where_the_stall_is_allowed_or_short(launcher, filled, rows, options):
    url = filled(rows)
    outcome = launcher.run("upgrade", "--url", url, *options)
    assert outcome.code == 0, outcome.err
    assert value(url, "SELECT count(*) FROM tala_operations") == rows
    kept = "SELECT count(*) FROM diwa_schema_kept_values WHERE column_name = 'context_id'"
    assert value(url, kept) == rows


def test_the_way_back_asks_as_well(launcher, filled):
    url = filled(2_001)
    assert launcher.run("upgrade", "--url", url, "--allow-stall").code == 0
    head = value(url, VERSION)
    refused = launcher.run("downgrade", BEFORE, "--url", url)
    assert refused.code == 2, refused.err
    assert "--allow-stall" in refused.err
    assert value(url, VERSION) == head
    assert launcher.run("downgrade", BEFORE, "--url", url, "--allow-stall").code == 0
    assert value(url, VERSION) == BEFORE


def test_after_ectos_last_version_only_what_goes_in_batches_depends_on_the_number_of_memories(
    launcher, server, postgres
):
    assert launcher.run("upgrade", "20260228010000", "--url", postgres).code == 0
    seeds.fill(postgres, 2)
    seeds.multiply(postgres, 1_000)  # more than a first batch
    name = database_name()
    many = server.create(name, postgres.rpartition("/")[2])
    try:
        seeds.multiply(many, 3_000)
        # Without a stall to keep to, no lock_timeout is lowered because a statement took its time.
        few, more = (launcher.run("upgrade", "--url", url, "--allow-stall") for url in (postgres, many))
        assert value(many, "SELECT count(*) FROM memories") > 3_000
    finally:
        server.drop(name)
    assert few.code == more.code == 0, few.err + more.err
    first, second = (Counter(_ID.sub("ID", statement) for _, statement in run.log) for run in (few, more))
    assert sum(first.values()) > 50
    # Whatever is sent oftener is part of a batch: the next keys, the rows between them, and what is around.
    assert set(first) <= set(second)
    assert all("reached" in one for one in set(second) - set(first))
    oftener = {one: second[one] - first[one] for one in second if second[one] > first[one]}
    assert {one.split()[0] for one in oftener} <= {"BEGIN", "COMMIT", "SELECT", "UPDATE", "SET"}
    assert max(oftener.values()) < 60
