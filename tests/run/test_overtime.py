"""Work beside a piece of work: it begins only if the piece lasts longer than the delay."""

from __future__ import annotations

import os
import threading

import pytest

from diwa_schema.run.overtime import Overtime

PATIENCE = 30.0  # seconds


def threads() -> set[str]:
    return {one.name for one in threading.enumerate()}


def test_a_short_piece_has_no_thread():
    begun = threading.Event()
    for _ in range(100):
        with Overtime(PATIENCE, begun.set, "beside"):
            assert "beside" not in threads()
    assert not begun.is_set()


def test_the_work_begins_beside_a_long_piece_and_ends_with_it():
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        if one.over.wait(PATIENCE):
            ended.set()

    one = Overtime(0.01, work, "beside")
    with one:
        assert begun.wait(PATIENCE)
        assert not ended.is_set()
    assert ended.is_set()
    assert "beside" not in threads()


def test_the_shorter_delay_of_a_later_piece_is_kept():
    begun = threading.Event()
    with Overtime(PATIENCE, lambda: None, "patient"), Overtime(0.01, begun.set, "hasty"):
        assert begun.wait(PATIENCE / 2)


def test_a_piece_that_fails_ends_its_work():
    begun = threading.Event()

    def work() -> None:
        begun.set()
        one.over.wait(PATIENCE)

    one = Overtime(0.01, work, "beside")
    with pytest.raises(ZeroDivisionError), one:
        assert begun.wait(PATIENCE)
        raise ZeroDivisionError
    assert "beside" not in threads()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_its_own_clock():
    with Overtime(PATIENCE, lambda: None, "patient"):
        child = os.fork()
        if not child:
            begun = threading.Event()
            with Overtime(0.01, begun.set, "beside"):
                os._exit(0 if begun.wait(PATIENCE) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
