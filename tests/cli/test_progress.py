"""What a run shows while it fills a column of many rows: in a pipe, on a terminal, in the log of CI, without colours."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

import diwa_schema
from diwa_schema.cli.foot import drawable
from diwa_schema.cli.progress import Lines
from diwa_schema.migrations.manifest import load
from tests.fixtures_checkout import run
from tests.kit.rules import CONTEXT, GROUND

(BEFORE, FILLING, SLUG) = next(
    (str(one.down_revision), one.revision, one.slug) for one in load() if one.slug == "usage_organization"
)
ROWS, BATCH = 3_000, 1_000  # a run begins with batches of a thousand
SLOW = 1.1  # seconds that the first batch takes; the second takes half of that, for a terminal to be drawn
WIDTH = 80

FILL = f"""
INSERT INTO usage_records (id, context_id, provider, model, operation, total_tokens, inserted_at, updated_at)
SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, '{CONTEXT}', 'p', 'm', 'embed', 0, now(), now()
FROM generate_series(1, {ROWS}) n;
ALTER TABLE usage_records SET (autovacuum_enabled = false);
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
PERFORM pg_sleep(CASE WHEN OLD.id::text LIKE '%-000000000001' THEN {SLOW} ELSE {SLOW / 2} END); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE UPDATE ON usage_records FOR EACH ROW
WHEN (OLD.id IN ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000{BATCH + 1}'))
EXECUTE FUNCTION slow();
"""
UPGRADE = [sys.executable, "-m", "diwa_schema", "upgrade", FILLING, "--max-stall", "10000"]


@pytest.fixture
def filled(head_template: str, new_database: Callable[..., str], owner_directory: Path) -> str:
    """The URL of a database with rows whose filling takes a while; the server has no count of them."""
    url = new_database(head_template)
    diwa_schema.downgrade(url, BEFORE)
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in GROUND:
            connection.execute(statement)
        connection.execute(FILL)
        # A session may report what it did as late as when it ends, which is after its client went away.
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("SELECT pg_stat_reset()")
    return url


def counted(url: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE usage_records")
    return url


def on_terminal(url: str, **variables: str | None) -> str:
    """Run the upgrade on a terminal of 80 columns and return all that it wrote there."""
    environment = {**os.environ, "TERM": "xterm-256color", "CI": None, "NO_COLOR": None, **variables}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
    child = subprocess.Popen(
        [*UPGRADE, "--url", url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={name: value for name, value in environment.items() if value is not None},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is gone
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert child.wait() == 0, said.decode()
    return said.decode()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def piped(url: str) -> list[str]:
    done = run([*UPGRADE, "--url", url], env={"TERM": "xterm-256color", "FORCE_COLOR": "1"}, check=0)
    return done.stderr.splitlines()


NUMBERS = (
    r"  usage_records\.organization_id: ([\d,]+)( of about ([\d,]+))? rows, ([\d,.]+)/s(, (\d+) s left)?"
)


def test_a_pipe_gets_lines_with_rows_rate_and_time_left(filled: str) -> None:
    lines = piped(counted(filled))
    assert not re.search(r"[^ -~]", "".join(lines)), "a control character"
    first = lines.index(f"[1/1] {FILLING} {SLUG}")
    found = [re.fullmatch(NUMBERS, line) for line in lines[first + 1 : -2]]
    assert found
    assert all(found)
    (rows, total, rate, left) = (int(found[0][at].replace(",", "")) for at in (1, 3, 4, 6))  # type: ignore[index]
    assert (rows, total) == (BATCH, ROWS)
    # The first batch took at least that long, and the time left follows from the rate; both are rounded.
    assert 0 < rate <= BATCH / SLOW * 1.05
    assert (ROWS - BATCH) / rate * 0.94 <= left <= (ROWS - BATCH) / rate * 1.06 + 1
    assert re.fullmatch(rf"  usage_records\.organization_id: {ROWS:,} rows in \d+ m?s", lines[-2])
    assert re.fullmatch(rf"\[1/1\] {FILLING} {SLUG}  \d+ ms", lines[-1])
    assert max(map(len, lines)) <= WIDTH


def test_a_terminal_shows_a_bar_with_rows_rate_and_time_left(filled: str) -> None:
    said = on_terminal(counted(filled))
    assert "\x1b[" in said
    assert re.search(r"\x1b\[[\d;]*3[\d;]*m", said), "no colour"
    lines = re.split(r"[\r\n]+", plain(said))
    assert f"[1/1] {FILLING} {SLUG}" in said
    assert "  usage_records.organization_id" in lines
    assert re.search(r"━+╺?━* +1,000 of about 3,000 rows, [\d,]+/s, \d+ s left", plain(said))
    assert max(map(len, lines)) <= WIDTH
    # What stays is the line of the revision, as in a pipe.
    assert re.search(rf"\[1/1\] {FILLING} {SLUG}  \d+ ms", plain(said))


def test_a_terminal_shows_no_bar_where_the_total_is_not_known(filled: str) -> None:
    said = plain(on_terminal(filled))
    assert re.search(r"  1,000 rows, [\d,]+/s", said)
    assert "━" not in said
    assert "of about" not in said


def test_no_color_is_heard(filled: str) -> None:
    said = on_terminal(counted(filled), NO_COLOR="1")
    assert not re.search(r"\x1b\[[\d;]*(3|4|9|10)\d[\d;]*m", said)
    assert "1,000 of about 3,000 rows" in plain(said)


def test_the_log_of_ci_gets_lines_and_no_total_that_nobody_knows(filled: str) -> None:
    said = on_terminal(filled, CI="true")
    assert "\x1b" not in said
    found = [match for line in said.splitlines() if (match := re.fullmatch(NUMBERS, line))]
    assert found[0][1] == f"{BATCH:,}"
    assert not any(match[2] or match[5] for match in found)


@pytest.mark.parametrize(
    ("variables", "drawn"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "CI": "false"}, True),
        ({"TERM": "xterm", "CI": "true"}, False),
        ({"TERM": "xterm", "CI": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": ""}, False),
    ],
)
def test_lines_are_drawn_anew_only_where_that_can_be_seen(
    monkeypatch, variables: dict[str, str], drawn: bool
) -> None:
    monkeypatch.delenv("CI", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert drawable() is drawn
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert not drawable()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_long_step_has_ever_fewer_lines_and_none_is_silent_for_minutes(capsys) -> None:
    clock = Clock()
    lines, told = Lines(quiet=False, clock=clock), []
    lines.revision("1 first", 1, 2)
    for second in range(3_600):
        clock.now = float(second)
        lines.step("tasks.mood", second * 10, None)
        if capsys.readouterr().err:
            told.append(second)
    assert told[0] == 1
    gaps = [after - before for before, after in pairwise(told)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == 60
    assert len(told) < 80
    lines.close()
    assert capsys.readouterr().err == "  tasks.mood: 35,990 rows in 60 min\n"


def test_a_short_step_says_how_many_rows_it_was_and_an_empty_one_nothing(capsys) -> None:
    clock = Clock()
    lines = Lines(quiet=False, clock=clock)
    lines.revision("1 first", 1, 1)
    lines.step("tasks.mood", 0, None)
    lines.step("plans.mood", 0, 7)
    lines.step("plans.mood", 7, 7)
    lines.step("plans_pkey: scanning table", 3, 9, "blocks")
    lines.done("1 first", 12)
    assert capsys.readouterr().err.splitlines() == [
        "[1/1] 1 first",
        "  plans.mood: 7 rows in 0 ms",
        "[1/1] 1 first  12 ms",
    ]
