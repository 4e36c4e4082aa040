from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.checkpoints.reading.tensorflow.snappy import decompress
from transfer.errors import CheckpointError, UnreadableCheckpoint

TEXT = b"block1/unit_1/bottleneck_v1/conv1/weights block1/unit_1/bottleneck_v1/conv2/weights"
PACKED = bytes.fromhex(
    "53a8626c6f636b312f756e69745f312f626f74746c656e65636b5f76312f636f6e76312f7765696768747320627a2a0020322f77656967687473"
)
"""TEXT as a library packs it."""


def test_a_stream_of_the_library() -> None:
    assert bytes(decompress(memoryview(PACKED))) == TEXT


@pytest.mark.parametrize(
    ("packed", "expected"),
    [
        (b"\x00", b""),
        (b"\x03\x08abc", b"abc"),
        (b"\x0a\x00a\x15\x01", b"a" * 10),  # a copy that overlaps what it makes
        (b"\x06\x04ab\x0e\x02\x00", b"ababab"),  # offset of two bytes
        (b"\x06\x04ab\x0f\x02\x00\x00\x00", b"ababab"),  # offset of four bytes
        (b"\x46\xf0\x45" + b"x" * 70, b"x" * 70),  # length of a literal in one byte more
        (b"\xac\x02\xf4\x2b\x01" + b"y" * 300, b"y" * 300),  # in two bytes more
    ],
)
def test_elements(packed: bytes, expected: bytes) -> None:
    assert bytes(decompress(memoryview(packed))) == expected


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (b"\xff\xff\xff\xff\x0f\x00a", "claim to hold"),
        (b"\x04\x08abc", "3 bytes instead of 4"),
        (b"\x02\x08abc", "3 bytes instead of 2"),
        (b"\x09\x20ab", "within a literal"),
        (b"\x04\x00a\x09\x09", "does not have"),
        (b"\x04\x00a\x09", "does not have"),
        (b"", "a number does not end"),
    ],
)
def test_lies(packed: bytes, said: str) -> None:
    with pytest.raises(UnreadableCheckpoint, match=said):
        decompress(memoryview(packed))


@settings(max_examples=300)
@given(data=st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    try:
        out = decompress(memoryview(data))
    except CheckpointError:
        return
    assert len(out) <= 32 * len(data)
