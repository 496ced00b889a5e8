"""How far an index build is comes from the server, over another connection, while the build runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg
import pytest

import diwa_schema
from diwa_schema.database.target import Target
from diwa_schema.migrations.manifest import load
from diwa_schema.run.building import building
from diwa_schema.run.settings import Silence

# The revision after it builds an index, and another transaction that writes to the table keeps the build waiting.
TABLE, BEFORE = "usage_records", "20260306000100"
HOLD = 4711


class Heard(Silence):
    """A progress that keeps what it hears of steps, and does something when a label comes.

    Args:
        when: A part of the label.
        then: What to do, once.
    """

    def __init__(self, when: str, then: Callable[[], object]) -> None:
        self.steps: list[tuple[str, int, int | None, str]] = []
        self._when = when
        self._then: Callable[[], object] | None = then

    def step(self, label: str, done: int, total: int | None, unit: str = "rows") -> None:
        self.steps.append((label, done, total, unit))
        if self._when in label and self._then is not None:
            then, self._then = self._then, None
            then()


@pytest.mark.usefixtures("owner_directory")
def test_a_run_tells_how_far_its_build_is_while_it_waits(head_template: str, new_database) -> None:
    url = new_database(head_template)
    diwa_schema.downgrade(url, BEFORE)
    with psycopg.connect(url) as other:
        other.execute(f"LOCK {TABLE} IN ROW EXCLUSIVE MODE")
        heard = Heard("waiting for writers", other.rollback)
        diwa_schema.migrate(url, progress=heard)
    assert (heard.steps[0][1:]) == (0, 1, "sessions")
    assert heard.steps[0][0].endswith(": waiting for writers before build")
    assert diwa_schema.status(url).revision == load().head


def test_blocks_are_counted_while_the_table_is_read(postgres: str) -> None:
    with (
        psycopg.connect(postgres, autocommit=True) as held,
        psycopg.connect(postgres, autocommit=True) as built,
    ):
        held.execute("CREATE TABLE things AS SELECT n FROM generate_series(1, 10000) n")
        held.execute(
            "CREATE FUNCTION held(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN"
            f" IF n = 5000 THEN PERFORM pg_advisory_lock_shared({HOLD}); END IF; RETURN n; END $$"
        )
        held.execute(f"SELECT pg_advisory_lock({HOLD})")
        create = "CREATE INDEX CONCURRENTLY things_held ON things (held(n))"
        thread = threading.Thread(target=built.execute, args=(create,))
        thread.start()
        try:
            with Target.of(postgres).connect() as link:
                pid = built.info.backend_pid
                until = time.monotonic() + 30
                while (
                    (found := building(link, pid)) is None
                    or found.done == 0
                    or "things_held: scanning" not in found.label
                ):
                    assert thread.is_alive()
                    assert time.monotonic() < until
            (pages,) = held.execute(
                "SELECT pg_relation_size('things') / current_setting('block_size')::int"
            ).fetchone() or (0,)
        finally:
            held.execute(
                f"SELECT pg_advisory_unlock({HOLD})"
            )  # else the build waits for ever, and the test with it
            thread.join()
        assert (found.label, found.unit) == ("things_held: scanning table", "blocks")
        assert 0 < found.done < pages
        assert found.total == pages
        with Target.of(postgres).connect() as link:
            assert building(link, pid) is None
