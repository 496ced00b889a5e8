from __future__ import annotations

import struct

import pytest
from hypothesis import given, strategies as st

from diwa_schema.models.types.erlang import decode_floats, encode_floats

finite = st.floats(allow_nan=False, allow_infinity=False)


def test_one_number_is_written_byte_for_byte_as_elixir_does():
    assert encode_floats([1.5]) == bytes([131, 108, 0, 0, 0, 1, 70]) + struct.pack(">d", 1.5) + bytes([106])


def test_no_number_is_erlangs_empty_list():
    assert encode_floats([]) == bytes([131, 106])
    assert decode_floats(bytes([131, 106])) == []
    assert decode_floats(bytes([131, 108, 0, 0, 0, 0, 106])) == []


@given(st.lists(finite, max_size=50))
def test_what_is_written_is_read_to_the_last_bit(numbers):
    read = decode_floats(encode_floats(numbers))
    assert read is not None
    assert struct.pack(f">{len(numbers)}d", *read) == struct.pack(f">{len(numbers)}d", *numbers)


@given(st.lists(finite | st.integers(0, 255) | st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=20))
def test_integers_between_the_floats_are_read(numbers):
    def element(number: float) -> bytes:
        if isinstance(number, float):
            return bytes([70]) + struct.pack(">d", number)
        return bytes([97, number]) if 0 <= number < 256 else bytes([98]) + struct.pack(">i", number)

    data = struct.pack(">BBI", 131, 108, len(numbers)) + b"".join(map(element, numbers)) + bytes([106])
    assert decode_floats(data) == [float(number) for number in numbers]


def test_a_list_of_nothing_but_small_integers_is_read():
    assert decode_floats(bytes([131, 107, 0, 3, 0, 1, 255])) == [0.0, 1.0, 255.0]


@given(st.lists(finite, min_size=1, max_size=10), st.data())
def test_cut_off_bytes_are_no_numbers(numbers, data):
    whole = encode_floats(numbers)
    length = data.draw(st.integers(0, len(whole) - 1))
    assert decode_floats(whole[:length]) is None


@given(st.lists(finite, min_size=1, max_size=10), st.binary(min_size=1, max_size=20))
def test_bytes_after_the_list_make_it_something_else(numbers, more):
    assert decode_floats(encode_floats(numbers) + more) is None


@given(st.binary(max_size=60))
def test_any_other_bytes_are_no_numbers_or_written_back_alike(data):
    numbers = decode_floats(data)
    if numbers is not None:
        assert data[0] == 131
        assert decode_floats(encode_floats(numbers)) == numbers


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[0.1,0.2]",
        bytes([130]) + encode_floats([1.0])[1:],
        struct.pack(">BBI", 131, 108, 2) + b"F" + struct.pack(">d", 1.0) + b"j",
        struct.pack(">BBI", 131, 108, 1) + b"F" + struct.pack(">d", float("nan")) + b"j",
        struct.pack(">BBI", 131, 108, 1) + b"F" + struct.pack(">d", float("inf")) + b"j",
        struct.pack(">BBI", 131, 108, 1) + bytes([100, 0, 1, 65]) + b"j",
        bytes([131, 107, 0, 9, 1]),
        bytes([131, 107]),
    ],
)
def test_something_else_is_no_list_of_numbers(data):
    assert decode_floats(data) is None


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_erlang_does_not_have_is_refused(number):
    with pytest.raises(ValueError, match="finite"):
        encode_floats([1.0, number])
