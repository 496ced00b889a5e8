"""A schema may be called anything: every verb works in it, and none touches another schema.

The names are written here without the package, so that its quoting is not what it is compared with.
"""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from psycopg import sql

from tests.run.asking import execute, value

LOW, LOWER = "20251224053423", "20251224044223"
VERBS = (
    ["upgrade", LOW, "--replay"],
    ["stamp", LOWER],
    ["protect"],
    ["downgrade", "base"],
)
# What means something to SQL, to a search path, to a formatter, a shell or a parser of parameters comes up often.
LETTERS = st.one_of(
    st.sampled_from("\"'`%:\\$,;.(){}[]?#@& \t\né\N{DOUBLE-STRUCK CAPITAL C}"),
    st.characters(codec="utf-8", exclude_characters="\0"),
)
NAMES = st.text(LETTERS, min_size=1, max_size=63).filter(
    # What the server keeps for itself, and what it would cut.
    lambda name: len(name.encode()) <= 63 and not name.startswith("pg_") and name not in ("public", "$user")
)
OTHERS = (
    "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', {})"
)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES)
@example(name='a"b %s %(a)s')
@example(name=":name")
@example(name="\\:é{x}$do$")
def test_any_schema(launcher, postgres, name):
    made = sql.Identifier(name)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(made))
        for words in VERBS:
            done = launcher.run(*words, f"--url={postgres}", f"--schema={name}")
            assert done.code == 0, f"{words} in {name!r}: {done.err}{done.out}"
        ledger = sql.SQL("SELECT count(DISTINCT run_id) FROM {}.diwa_schema_ledger").format(made)
        assert connection.execute(ledger).fetchone() == (len(VERBS),)
        assert connection.execute(sql.SQL(OTHERS).format(sql.Literal(name))).fetchone() == (0,)
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(made))


@pytest.mark.parametrize("name", ["$user", "information_schema", "pg_catalog", "pg_temp"])
def test_a_name_that_the_server_keeps_for_itself_is_refused(launcher, postgres, name):
    """Some of these are there for everybody, and `$user` on a search path is another schema than it looks."""
    if name == "$user":
        execute(postgres, 'CREATE SCHEMA "$user"')
    before = value(postgres, "SELECT count(*) FROM pg_class")
    for words in (["upgrade"], ["status"], ["stamp", LOW, "--force"]):
        refused = launcher.run(*words, "--url", postgres, "--schema", name)
        assert refused.code == 2, refused.err + refused.out
        assert name in refused.err
    assert value(postgres, "SELECT count(*) FROM pg_class") == before


@pytest.mark.parametrize(
    "words",
    [["status", "--schema=\udcff"], ["drop", "--confirm=\udcff"], ["protect", "--reason=\udcff"]],
)
def test_a_word_that_is_no_text_is_wrong_usage(launcher, postgres, words):
    done = launcher.run(*words, "--url", postgres)
    assert done.code == 2, done.err + done.out
    assert "is not UTF-8" in done.err
