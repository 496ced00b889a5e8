"""The arguments of the queries. What was forgotten is refused: compared with NULL, it would find nothing, silently."""

from __future__ import annotations

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


def text(value: str, name: str) -> str:
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
