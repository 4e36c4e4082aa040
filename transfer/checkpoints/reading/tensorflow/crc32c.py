"""CRC-32C (Castagnoli; RFC 3720), as TensorFlow's files carry it, at the speed of memory instead of a byte at a time.

A checksum is the remainder of the message, read as a polynomial over GF(2), by P = 0x11EDC6F41. P divides

    Q = x^209 + x^144 + x^54 + x^39 + x^14 + 1,

and therefore Q^64s = x^(64s * 209) + x^(64s * 144) + ... + 1 for every power of two s: squaring over GF(2) only spreads
the exponents. In units of 64-bit words a long message is thus reduced to 209 words by XORs of arrays; only those
go through the table.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REFLECTED = 0x82F63B78
DEGREE = 209
TAIL = (144, 54, 39, 14, 0)
"""Exponents of Q below its degree."""

SCALES = (256, 16, 1)
PIECE = 1 << 22
"""Bytes that are copied and folded at a time."""


def _table() -> tuple[int, ...]:
    values = list(range(256))
    for _ in range(8):
        values = [value >> 1 ^ (REFLECTED if value & 1 else 0) for value in values]
    return tuple(values)


TABLE = _table()


def crc32c(data: memoryview | bytes) -> int:
    """Return the checksum of `data`."""
    view = memoryview(data)
    state = 0xFFFFFFFF
    for start in range(0, len(view), PIECE):
        state = _advanced(state, view[start : start + PIECE])
    return state ^ 0xFFFFFFFF


def masked_crc32c(data: memoryview | bytes) -> int:
    """Return the checksum as TensorFlow stores it: rotated, so that data which holds checksums has an unlike one."""
    value = crc32c(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _advanced(state: int, piece: memoryview) -> int:
    if len(piece) > 8 * DEGREE:
        words = np.zeros(-(-len(piece) // 8), dtype="<u8")  # leading zeros leave a remainder as it is
        data = words.view(np.uint8)[-len(piece) :]
        data[:] = np.frombuffer(piece, np.uint8)
        data[:4] ^= np.frombuffer(state.to_bytes(4, "little"), np.uint8)
        state, piece = 0, memoryview(_folded(words).tobytes())
    for byte in piece:
        state = TABLE[(state ^ byte) & 255] ^ state >> 8
    return state


def _folded(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return at most DEGREE words with the same remainder; `words` is overwritten."""
    for scale in SCALES:
        degree, step = DEGREE * scale, (DEGREE - TAIL[0]) * scale
        surplus = len(words) - degree
        for start in range(0, surplus, step):
            head = words[start : min(start + step, surplus)]
            for exponent in TAIL:
                target = start + degree - exponent * scale
                words[target : target + len(head)] ^= head
        words = words[max(0, surplus) :]
    return words
