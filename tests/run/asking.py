"""Asking a database something, or telling it, from outside of a run."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import Any

import psycopg

PATIENCE = 30.0  # seconds


def value(url: str, query: str) -> Any:
    """Return the first column of the first row of a query."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as lite:
            return lite.execute(query).fetchone()[0]
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def execute(url: str, *statements: str) -> None:
    """Run statements, each on its own."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as lite, lite:
            for statement in statements:
                lite.execute(statement)
        return
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def until(url: str, query: str, patience: float = PATIENCE) -> None:
    """Wait until a query's value is true, `patience` seconds at most."""
    give_up = time.monotonic() + patience
    while not value(url, query):
        assert time.monotonic() < give_up, query
        time.sleep(0.02)
