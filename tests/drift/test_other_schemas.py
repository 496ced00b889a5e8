"""What is read of one schema does not grow with the other schemas of the database: told by rows, not by time."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

import diwa_schema
from diwa_schema.api.opening import reading
from diwa_schema.database import bookkeeping
from diwa_schema.database.link import Link
from diwa_schema.database.state import State
from diwa_schema.drift.read import at_head, read
from diwa_schema.drift.rules import violations, waiting
from diwa_schema.migrations.manifest import load
from diwa_schema.models.rules import KEPT, RULES
from diwa_schema.run import losses
from diwa_schema.run.session import Look

OTHERS = 60

# A tenant of nothing but names: as many relations and constraints as the real one would be looked up among.
_TENANT = """
DO $do$
BEGIN
  FOR number IN 1..{others} LOOP
    EXECUTE format('CREATE SCHEMA other_%s', number);
    EXECUTE (SELECT string_agg(format(
        'CREATE TABLE other_%s.%I (id int, CONSTRAINT %I CHECK (id > 0))', number, name, rule), '; ')
      FROM unnest(ARRAY[{tables}], ARRAY[{rules}]) AS named(name, rule));
  END LOOP;
END
$do$
"""

READS: dict[str, Callable[[Link], object]] = {
    "a look": bookkeeping.look,
    "all of it": read,
    "what is ours": lambda link: read(link, like=at_head("postgresql")),
    "rules that wait": lambda link: waiting(link, "tenant", list(KEPT)),
    "rows that break a rule": lambda link: violations(link, "tenant", list(RULES), 1),
    "tables that are there": lambda link: losses.tables(Look(link, State("tenant", frozenset()))),
}
# So few schemas are read as a whole in the time that indexes take: what matters is that these lead there.
INDEXES = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
BY_NAME = ("a look", "all of it", "what is ours", "rules that wait")

# Not from the view of the same numbers, which reads all of pg_class itself.
_READ = """
SELECT sum(pg_stat_get_xact_tuples_returned(r) + pg_stat_get_xact_tuples_fetched(r))
FROM unnest('{pg_class,pg_attribute,pg_constraint,pg_index,pg_trigger,pg_depend,pg_policy,pg_rewrite}'::regclass[]) r
"""


@pytest.fixture
def tenant(new_database, owner_directory) -> str:
    """The URL of a database with one tenant at head."""
    url: str = new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA tenant")
    diwa_schema.migrate(url, schema="tenant")
    return url


def rows_read(url: str) -> dict[str, int]:
    """Return how many rows of the system's catalog each read has read."""
    found = {}
    for name, ask in READS.items():
        with reading(url, None, "tenant") as link, link.transaction():
            if name in BY_NAME:
                link.set(INDEXES, local=True)
            before = link.value(_READ)
            ask(link)
            found[name] = int(link.value(_READ) - before)
    return found


def test_a_schema_is_read_without_reading_those_beside_it(tenant):
    analyse = "VACUUM ANALYZE"
    with psycopg.connect(tenant, autocommit=True) as connection:
        connection.execute(analyse)
    alone = rows_read(tenant)
    tables = [*load().tables]
    rules = [rule.name for rule in KEPT]
    rules += [f"more_{number}" for number in range(len(tables) - len(rules))]
    text = _TENANT.format(
        others=OTHERS,
        tables=", ".join(f"'{name}'" for name in tables),
        rules=", ".join(f"'{name}'" for name in rules),
    )
    with psycopg.connect(tenant, autocommit=True) as connection:
        connection.execute(text.encode())
        connection.execute(analyse)
    beside = rows_read(tenant)
    grown = {name: (alone[name], beside[name]) for name in READS if beside[name] > 1.3 * alone[name] + 100}
    assert grown == {}
