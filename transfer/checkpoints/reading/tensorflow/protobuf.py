"""The wire format of protocol buffers (protobuf.dev/programming-guides/encoding), as far as checkpoints need it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transfer.errors import UnreadableCheckpoint

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LONGEST_VARINT = 10


@dataclass(frozen=True)
class Message:
    """The fields of one message, in the order of the file: integers, or bytes yet to be taken apart."""

    fields: Sequence[tuple[int, int | memoryview]]

    def integer(self, number: int, default: int = 0) -> int:
        """Return the last integer of that field, unsigned. Raises UnreadableCheckpoint if it is something else."""
        return next((_integer(value) for found, value in reversed(self.fields) if found == number), default)

    def signed(self, number: int, default: int = 0) -> int:
        """Return the last integer of that field as a 64-bit two's complement."""
        value = self.integer(number, default)
        return value - (1 << 64) if value >= 1 << 63 else value

    def blocks(self, number: int) -> list[memoryview]:
        """Return the bytes of every occurrence of that field."""
        return [_block(value) for found, value in self.fields if found == number]

    def messages(self, number: int) -> list[Message]:
        """Take every occurrence of that field apart."""
        return [parse(block) for block in self.blocks(number)]

    def message(self, number: int) -> Message:
        """Take the last occurrence of that field apart; the message is empty where there is none."""
        return next(reversed(self.messages(number)), Message(()))

    def text(self, number: int) -> str:
        """Return the last string of that field, empty where there is none."""
        return decoded(next(reversed(self.blocks(number)), memoryview(b"")))

    def has(self, number: int) -> bool:
        """Tell whether the field is there."""
        return any(found == number for found, _ in self.fields)


def parse(data: memoryview) -> Message:
    """Take a message apart, one level deep. Raises UnreadableCheckpoint."""
    return Message(tuple(_fields(data)))


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at byte `at`, and where it ends. Raises UnreadableCheckpoint."""
    value = 0
    for shift, byte in enumerate(data[at : at + LONGEST_VARINT]):
        value |= (byte & 127) << 7 * shift
        if byte < 128:
            return value & (1 << 64) - 1, at + shift + 1
    raise UnreadableCheckpoint("a number does not end where it should")


def varints(data: memoryview) -> Iterator[int]:
    """Yield the integers of a packed field, unsigned."""
    at = 0
    while at < len(data):
        value, at = varint(data, at)
        yield value


def decoded(data: memoryview | bytes) -> str:
    """Decode UTF-8. Raises UnreadableCheckpoint for anything else."""
    try:
        return bytes(data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableCheckpoint(f"a name is not UTF-8: {bytes(data)[:40]!r}") from error


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        value: int | memoryview
        if tag & 7 == VARINT:
            value, at = varint(data, at)
        elif tag & 7 in (FIXED32, FIXED64):
            value, at = _fixed(data, at, 4 if tag & 7 == FIXED32 else 8)
        elif tag & 7 == BYTES:
            length, at = varint(data, at)
            value, at = _span(data, at, length), at + length
        else:
            raise UnreadableCheckpoint(f"a message has a field of the unknown type {tag & 7}")
        yield tag >> 3, value


def _fixed(data: memoryview, at: int, size: int) -> tuple[int, int]:
    return int.from_bytes(_span(data, at, size), "little"), at + size


def _span(data: memoryview, at: int, length: int) -> memoryview:
    if length > len(data) - at:
        raise UnreadableCheckpoint(f"a field of {length:,} bytes has only {len(data) - at:,}")
    return data[at : at + length]


def _integer(value: int | memoryview) -> int:
    if isinstance(value, memoryview):
        raise UnreadableCheckpoint("bytes stand where a number belongs")
    return value


def _block(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise UnreadableCheckpoint("a number stands where bytes belong")
    return value
