"""An SQLite type with a given declaration."""

from __future__ import annotations

from typing import Any

from sqlalchemy.types import UserDefinedType


class Declared(UserDefinedType[Any]):
    """A column type of SQLite with the exact words of its declaration, which SQLite stores and shows.

    Args:
        words: The declaration, such as ``JSONB``.
    """

    cache_ok = True

    def __init__(self, words: str) -> None:
        self.words = words

    def get_col_spec(self, **_options: Any) -> str:
        return self.words
