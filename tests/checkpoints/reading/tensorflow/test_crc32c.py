from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.checkpoints.reading.tensorflow.crc32c import DEGREE, TABLE, TAIL, crc32c, masked_crc32c

CASTAGNOLI = 0x11EDC6F41


def byte_by_byte(data: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in data:
        state = TABLE[(state ^ byte) & 255] ^ state >> 8
    return state ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # RFC 3720, B.4, and the check value of the catalogue of CRCs
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_published_values(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


def test_the_sparse_polynomial_is_a_multiple() -> None:
    value = sum(1 << exponent for exponent in (DEGREE, *TAIL))
    while value.bit_length() > 32:
        value ^= CASTAGNOLI << value.bit_length() - 33
    assert value == 0


@settings(max_examples=40, deadline=None)
@given(length=st.integers(0, 60_000), seed=st.integers(0, 1000))
def test_folding_changes_nothing(length: int, seed: int) -> None:
    data = random.Random(seed).randbytes(length)
    assert crc32c(data) == byte_by_byte(data)


@pytest.mark.parametrize("length", [8 * DEGREE, 8 * DEGREE + 1, 128 * DEGREE + 1, 2048 * DEGREE + 9])
def test_lengths_around_the_steps(length: int) -> None:
    data = random.Random(length).randbytes(length)
    assert crc32c(data) == byte_by_byte(data)


def test_pieces_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    data = random.Random(0).randbytes(20_001)
    monkeypatch.setattr("transfer.checkpoints.reading.tensorflow.crc32c.PIECE", 5000)
    assert crc32c(data) == byte_by_byte(data)


def test_mask() -> None:  # leveldb, util/crc32c.h: rotate right by 15 bits, add a constant
    value = crc32c(b"foo")
    assert masked_crc32c(b"foo") == ((value >> 15 | value << 17) + 0xA282EAD8) % 2**32 != value
