"""What is told of a step is what was counted and timed, and nothing that nobody knows."""

from __future__ import annotations

import pytest

from diwa_schema.cli.measure import Measure, lasting, took


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def reached(measure: Measure, clock: Clock, seconds: float, done: int, total: int | None) -> str:
    clock.now += seconds
    measure.reach(done, total)
    return str(measure)


def test_rows_rate_and_time_left(clock) -> None:
    measure = Measure("tasks", clock=clock)
    assert reached(measure, clock, 0, 0, 48_000) == "0 of about 48,000 rows"
    assert reached(measure, clock, 10, 12_000, 48_000) == "12,000 of about 48,000 rows, 1,200/s, 30 s left"
    assert reached(measure, clock, 10, 36_000, 48_000) == "36,000 of about 48,000 rows, 1,800/s, 7 s left"
    assert reached(measure, clock, 5, 48_000, 48_000).endswith(", 0 s left")
    assert (measure.moved, measure.took) == (48_000, 25)


def test_nothing_is_made_up_where_the_total_is_not_known(clock) -> None:
    measure = Measure("tasks", clock=clock)
    reached(measure, clock, 0, 0, None)
    assert reached(measure, clock, 2, 5_000, None) == "5,000 rows, 2,500/s"
    assert measure.left is None


def test_a_total_that_was_too_small_is_one_that_nobody_knows(clock) -> None:
    measure = Measure("tasks", clock=clock)
    reached(measure, clock, 0, 0, 1_000)
    assert reached(measure, clock, 2, 5_000, 1_000) == "5,000 rows, 2,500/s"


def test_what_an_earlier_run_has_done_is_no_part_of_the_rate(clock) -> None:
    measure = Measure("tasks", clock=clock)
    reached(measure, clock, 0, 90_000, 100_000)
    assert reached(measure, clock, 2, 92_000, 100_000) == "92,000 of about 100,000 rows, 1,000/s, 8 s left"
    assert measure.moved == 2_000


def test_a_moment_tells_no_rate(clock) -> None:
    measure = Measure("tasks", clock=clock)
    reached(measure, clock, 0, 0, 1_000)
    assert reached(measure, clock, 0.5, 900, 1_000) == "900 of about 1,000 rows"


def test_a_rate_is_that_of_the_last_seconds_and_falls_while_nothing_is_done(clock) -> None:
    measure = Measure("tasks", clock=clock)
    reached(measure, clock, 0, 0, None)
    reached(measure, clock, 10, 100_000, None)
    assert measure.rate == 10_000
    for _ in range(40):
        clock.now += 1
        measure.reach(measure.done + 100, None)
    assert measure.rate == 100
    clock.now += 30
    assert measure.rate == pytest.approx(50, rel=0.1)


def test_pieces_that_are_counted_exactly_are_told_so(clock) -> None:
    measure = Measure("tasks_pkey: scanning table", "blocks", clock)
    reached(measure, clock, 0, 0, 400)
    assert reached(measure, clock, 10, 100, 400) == "100 of 400 blocks, 10/s, 30 s left"
    assert str(Measure("tasks_pkey: sorting", "", clock)) == ""


def test_another_label_or_a_number_that_fell_is_another_step(clock) -> None:
    measure = Measure("rows  written\nmeanwhile", clock=clock)
    reached(measure, clock, 0, 500, None)
    assert measure.label == "rows written meanwhile"
    assert measure.goes_on("rows written meanwhile", 500, "rows")
    assert not measure.goes_on("rows written meanwhile", 0, "rows")
    assert not measure.goes_on("others", 600, "rows")
    assert not measure.goes_on("rows written meanwhile", 600, "blocks")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.2, "1 s"),
        (118.5, "119 s"),
        (119.5, "2 min"),
        (121, "3 min"),
        (7_000, "117 min"),
        (7_300, "2 h 2 min"),
    ],
)
def test_times_are_rounded_up(seconds: float, told: str) -> None:
    assert lasting(seconds) == told


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [(0, "0 ms"), (9_999, "9999 ms"), (10_000, "10 s"), (53_778, "54 s"), (600_000, "10 min")],
)
def test_a_long_time_is_not_told_in_milliseconds(milliseconds: int, told: str) -> None:
    assert took(milliseconds) == told
