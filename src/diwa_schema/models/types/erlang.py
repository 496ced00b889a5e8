"""Embeddings as bytes: a list of floats in Erlang's external term format.

The Elixir applications store embeddings in this format if the column is bytea or BLOB, so this package reads and writes
the same format there.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

_VERSION = 131
_LIST = 108
_STRING = 107
_NIL = 106
_FLOAT = 70
_SMALL_INTEGER = 97
_INTEGER = 98

_EMPTY = bytes((_VERSION, _NIL))
_FLOAT_SIZE = 9


def encode_floats(numbers: Sequence[float]) -> bytes:
    """Write numbers as the bytes that ``:erlang.binary_to_term/1`` reads as a list of floats.

    Raises:
        ValueError: A number is infinite or not a number; Erlang has no such floats.
    """
    if not all(map(math.isfinite, numbers)):
        raise ValueError("An embedding holds only finite numbers: Elixir could not read it otherwise.")
    count = len(numbers)
    if count == 0:
        return _EMPTY
    doubles = struct.pack(f">{count}d", *numbers)
    body = bytearray(_FLOAT_SIZE * count)
    body[::_FLOAT_SIZE] = bytes((_FLOAT,)) * count
    for offset in range(8):
        body[offset + 1 :: _FLOAT_SIZE] = doubles[offset::8]
    return struct.pack(">BBI", _VERSION, _LIST, count) + bytes(body) + bytes((_NIL,))


def decode_floats(data: bytes) -> list[float] | None:
    """Read the bytes of a list of numbers; integers become floats.

    Returns:
        The numbers, or None if the bytes are not exactly one list of finite numbers.
    """
    if data == _EMPTY:
        return []
    if data[:2] == bytes((_VERSION, _STRING)):
        return _decode_string(data)
    if len(data) < 7 or data[:2] != bytes((_VERSION, _LIST)) or data[-1] != _NIL:
        return None
    (count,) = struct.unpack_from(">I", data, 2)
    body = memoryview(data)[6:-1]
    numbers = _decode_plain(body, count) or _decode_mixed(body, count)
    return numbers if numbers is not None and all(map(math.isfinite, numbers)) else None


def _decode_string(data: bytes) -> list[float] | None:
    """Decode a list of integers from 0 to 255, which Erlang packs like a string."""
    if len(data) < 4 or len(data) != 4 + int.from_bytes(data[2:4]):
        return None
    return [float(byte) for byte in data[4:]]


def _decode_plain(body: memoryview, count: int) -> list[float] | None:
    """Decode the usual case in one step: only floats."""
    if len(body) != _FLOAT_SIZE * count or bytes(body[::_FLOAT_SIZE]) != bytes((_FLOAT,)) * count:
        return None
    return list(struct.unpack(">" + "xd" * count, body))


def _decode_mixed(body: memoryview, count: int) -> list[float] | None:
    numbers: list[float] = []
    position = 0
    while position < len(body) and len(numbers) < count:
        layout = _ELEMENTS.get(body[position])
        if layout is None or position + 1 + layout.size > len(body):
            return None
        numbers.append(float(layout.unpack_from(body, position + 1)[0]))
        position += 1 + layout.size
    return numbers if position == len(body) and len(numbers) == count else None


_ELEMENTS = {
    _FLOAT: struct.Struct(">d"),
    _SMALL_INTEGER: struct.Struct(">B"),
    _INTEGER: struct.Struct(">i"),
}
