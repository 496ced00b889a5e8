"""A build of SQLite that lacks a module: what this one has, taken off each connection."""

from __future__ import annotations

import _sqlite3
import ctypes
import sqlite3
from typing import Any

import pytest

# Modules that every build has since JSON is a part of SQLite.
_KEPT = (b"json_each", b"json_tree")


def without_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the connections of this process be ones that know no module but JSON's: none has FTS5 any more."""
    try:
        drop = ctypes.CDLL(_sqlite3.__file__).sqlite3_drop_modules
    except (AttributeError, OSError):
        pytest.skip("SQLite is a part of this interpreter, so its functions cannot be called")
    drop.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_char_p)]
    connect = sqlite3.connect

    def bare(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        # The first thing that a connection holds is SQLite's own.
        handle = ctypes.c_void_p.from_address(id(connection) + object.__basicsize__).value
        assert drop(handle, (ctypes.c_char_p * (len(_KEPT) + 1))(*_KEPT, None)) == 0
        return connection

    monkeypatch.setattr(sqlite3, "connect", bare)
    monkeypatch.setattr(sqlite3.dbapi2, "connect", bare)
