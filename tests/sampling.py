"""Which of many alike cases the tests always run: the others are for the whole matrix (`nox -s matrix`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

MATRIX = pytest.mark.matrix


def sampled(cases: Iterable[Any], *always: Any) -> list[Any]:
    """Return the cases as parameters, a tuple as several; those that are not named are marked as ones of the whole matrix."""
    listed = list(cases)
    assert set(always) <= set(listed), f"no such case: {set(always) - set(listed)}"
    return [
        pytest.param(*(case if isinstance(case, tuple) else [case]), marks=[] if case in always else MATRIX)
        for case in listed
    ]
