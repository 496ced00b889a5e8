"""One embedding from one form into another."""

from __future__ import annotations

import struct

from diwa_schema.models.types.embeddings import DIMENSIONS
from diwa_schema.models.types.erlang import decode_floats, encode_floats

NO_LIST = "not a list of numbers in Erlang's external term format"


def as_bytes(value: str | bytes) -> bytes:
    """Return the bytes that a bytes column holds for an embedding; a vector is given as its text."""
    return value if isinstance(value, bytes) else encode_floats(_numbers(value))


def as_vector(value: str | bytes | None) -> tuple[list[float] | None, str]:
    """Return the numbers of a vector(1536), or None and the reason why the embedding is none.

    The numbers of a vector have single precision; more of it is rounded off, as pgvector does with any input.
    """
    if value is None:
        return None, ""
    numbers = _numbers(value) if isinstance(value, str) else decode_floats(value)
    if numbers is None:
        return None, NO_LIST
    if len(numbers) != DIMENSIONS:
        return None, f"{len(numbers)} numbers where a vector has {DIMENSIONS}"
    if not _fits_single_precision(numbers):
        return None, "a number too great for single precision"
    return numbers, ""


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text[1:-1].split(",")]


def _fits_single_precision(numbers: list[float]) -> bool:
    try:
        struct.pack(f"<{len(numbers)}f", *numbers)
    except OverflowError:
        return False
    return True
