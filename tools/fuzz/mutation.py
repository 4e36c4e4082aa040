"""Changes to a file: of single bytes, of pieces, and inside its structure, so that the change gets past the checks of
lengths and sums around it.
"""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable, Sequence

from seeds import POISONS, members, zipped

NUMBERS = tuple(
    value.to_bytes(width, "little", signed=True)
    for width in (1, 2, 4, 8)
    for value in (0, 1, -1, 2 ** (8 * width - 1) - 1, -(2 ** (8 * width - 1)))
)
OPCODES = bytes(range(0x28, 0x99))


def mutated(random: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One to a few changes, in half of the cases inside the structure."""
    nested = random.random() < 0.5
    if nested and data.startswith(b"PK"):
        return _in_archive(random, data, others)
    if nested and data[8:9] == b"{":
        return _in_header(random, data, others)
    return _changed(random, data, others)


def _changed(random: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        data = random.choice(CHANGES)(random, data, others)
    return data


def _in_archive(random: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    entries = members(data)
    pickles = [k for k, (name, _) in enumerate(entries) if name.endswith((".pkl", ".npy"))]
    place = random.choice(pickles if random.random() < 0.8 else range(len(entries)))
    entries[place] = (entries[place][0], _changed(random, entries[place][1], others))
    if random.random() < 0.1:
        entries[random.randrange(len(entries))] = entries[place]
    return zipped(dict(entries).items(), random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def _in_header(random: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = _changed(random, data[8 : 8 + length], others)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _place(random: random.Random, data: bytes) -> int:
    return random.randrange(len(data) + 1)


def _flip(random: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place = _place(random, data)
    return (
        data[:place] + bytes(byte ^ (1 << random.randrange(8)) for byte in data[place : place + 1]) + data[place + 1 :]
    )


def _byte(random: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place = _place(random, data)
    return data[:place] + random.randbytes(1) + data[place + 1 :]


def _opcode(random: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place, width = _place(random, data), random.choice((0, 1))
    return data[:place] + bytes([random.choice(OPCODES)]) + data[place + width :]


def _number(random: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place, number = _place(random, data), random.choice(NUMBERS)
    return data[:place] + number + data[place + len(number) :]


def _delete(random: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place = _place(random, data)
    return data[:place] + data[place + random.choice((1, 2, 4, 16, 100)) :]


def _repeat(random: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place, size = _place(random, data), random.choice((1, 2, 5, 20, 100))
    return data[:place] + data[place : place + size] * random.choice((2, 2, 3, 50)) + data[place + size :]


def _cut(random: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: _place(random, data)]


def _splice(random: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = random.choice(others)
    start = random.randrange(len(other))
    place = _place(random, data)
    return data[:place] + other[start : start + random.choice((4, 20, 100, 1000))] + data[place:]


def _poison(random: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place = _place(random, data)
    return data[:place] + random.choice(POISONS) + data[place:]


CHANGES: tuple[Callable[[random.Random, bytes, Sequence[bytes]], bytes], ...] = (
    _flip, _byte, _byte, _opcode, _opcode, _number, _number, _delete, _repeat, _cut, _splice, _poison,
)  # fmt: skip
