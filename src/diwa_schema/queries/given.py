"""The arguments of the queries. What was forgotten is refused: compared with NULL, it would find nothing, silently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID


def identity(value: UUID, name: str) -> UUID:
    """Return the id of a row.

    Args:
        value: The id; its type checks all but None.
        name: What it is the id of, for the message.

    Raises:
        TypeError: It is None, which is the id of a row that was never flushed.
    """
    if value is None:
        raise TypeError(f"The {name} is None: flush its session and pass its id.")
    return value


def words(value: str, name: str) -> str:
    """Return a text.

    Args:
        value: The text.
        name: What it is, for the message.

    Raises:
        TypeError: It is no text.
    """
    if not isinstance(value, str):
        raise TypeError(f"The {name} is a text, not {type(value).__name__}.")
    return value


def document(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a document.

    Args:
        value: The document.
        name: What it is, for the message.

    Raises:
        TypeError: It is no dict.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"The {name} is a dict, not {type(value).__name__}.")
    return dict(value)
