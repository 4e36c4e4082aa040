"""Read zip archives strictly: an archive that two readers could understand differently is refused.

A zip lists its entries twice: in the directory at its end, and in a header in front of each entry. Python's `zipfile`
trusts the directory, torch's reader checks other things, and scanners others again, so that a file can show harmless
weights to one and something else to another. Only archives for which all agree are read: headers repeat the directory's
names, entries neither overlap nor share a name, every entry has its declared size, and what is unpacked its checksum.
Sizes are summed before anything is unpacked, since a few kilobytes can unpack to terabytes.

Entries that are stored, not compressed (torch stores all of them), are views of the mapped file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from transfer.checkpoints.reading.source import Source, unpacked_limit
from transfer.errors import UnreadableCheckpoint

END = struct.Struct("<4s4H2IH")
END64_LOCATOR = struct.Struct("<4sIQI")
END64 = struct.Struct("<4sQ2H2I4Q")
CENTRAL = struct.Struct("<4s6H3I5H2I")
LOCAL = struct.Struct("<4s5H3I2H")
LONGEST_COMMENT = 65535
STORED, DEFLATED = 0, 8
CHUNK = 2**20


@dataclass(frozen=True)
class Entry:
    """A file in the archive: its header begins at `offset`, its bytes end before `end`."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    end: int


@dataclass(frozen=True)
class Archive:
    """A zip archive's entries by name."""

    source: Source
    entries: dict[str, Entry]

    def start(self, entry: Entry) -> int:
        """Return where the entry's bytes begin."""
        name = entry.name.encode("utf-8", "surrogateescape")
        header = self.source.read(entry.offset, LOCAL.size + len(name))
        mark, *_, name_length, extra = LOCAL.unpack_from(header)
        start = entry.offset + LOCAL.size + int(name_length) + int(extra)
        if mark != b"PK\3\4" or header[LOCAL.size :] != name or start + entry.packed > entry.end:
            raise UnreadableCheckpoint(f"its zip entry {entry.name:.80} has another header than the directory says")
        return start

    def view(self, entry: Entry) -> memoryview:
        """Return the entry's bytes: mapped where they are stored as they are, unpacked otherwise."""
        return memoryview(self.unpacker(entry)())

    def unpacker(self, entry: Entry) -> Callable[[], memoryview | bytearray]:
        """Return a function that gives the entry's bytes, also after the file was closed."""
        packed = self.source.view(self.start(entry), entry.packed)
        return lambda: packed if entry.method == STORED else _inflate(packed, entry)

    def read(self, entry: Entry, most: int | None = None) -> bytes:
        """Return the entry's bytes, or the first `most` of them, copied."""
        size = entry.size if most is None else min(most, entry.size)
        if entry.method == STORED:
            return self.source.read(self.start(entry), size)
        if size == entry.size:
            return bytes(self.view(entry))
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(self.source.view(self.start(entry), entry.packed), size)


def _inflate(packed: memoryview, entry: Entry) -> bytearray:
    """Unpack an entry, never more than the size that the directory declares."""
    unpacked = bytearray()
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    rest = bytes(packed)
    while rest and not stream.eof and len(unpacked) <= entry.size:
        unpacked += stream.decompress(rest, CHUNK)
        rest = stream.unconsumed_tail
    if len(unpacked) != entry.size or not stream.eof or zlib.crc32(unpacked) != entry.crc:
        raise UnreadableCheckpoint(
            f"zip entry {entry.name} does not unpack to its {entry.size:,} bytes: the file is damaged, copy it again"
        )
    return unpacked


def read_archive(source: Source) -> Archive:
    """Read the directory of a zip archive.

    Raises EOFError for a truncated one, UnreadableCheckpoint for a hostile one.
    """
    count, size, start = _end(source)
    directory = source.read(start, size)
    found = list(_entries(directory, count))
    found.sort(key=lambda entry: entry.offset)
    ends = [*(entry.offset for entry in found[1:]), start]
    for entry, end in zip(found, ends, strict=True):
        if entry.offset + LOCAL.size + len(entry.name) + entry.packed > end:
            raise UnreadableCheckpoint(f"its zip entry {entry.name:.80} overlaps what follows it")
    if sum(entry.size for entry in found) > unpacked_limit(len(source)):
        raise UnreadableCheckpoint(
            f"it is a zip archive of {len(source):,} bytes that would unpack to "
            f"{sum(entry.size for entry in found):,}: no weights compress so well"
        )
    return Archive(source, _by_name(found, ends))


def _by_name(found: list[Entry], ends: list[int]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for entry, end in zip(found, ends, strict=True):
        if entry.name in entries:
            raise UnreadableCheckpoint(f"its zip entry {entry.name:.80} stands there twice")
        entries[entry.name] = replace(entry, end=end)
    return entries


def _end(source: Source) -> tuple[int, int, int]:
    """Return the number of entries, the size and the start of the directory."""
    tail_start = max(0, len(source) - END.size - LONGEST_COMMENT)
    # a comment of up to 64 KiB may follow the end record, so it is searched for backwards
    tail = source.read(tail_start, len(source) - tail_start)
    place = tail.rfind(b"PK\5\6")
    if place < 0 or place + END.size > len(tail):
        raise EOFError("the zip archive has no directory at its end")
    _, disk, _, _, count, size, start, _ = END.unpack_from(tail, place)
    locator = place - END64_LOCATOR.size
    if locator >= 0 and tail.startswith(b"PK\6\7", locator):
        _, disk, start64, _ = END64_LOCATOR.unpack_from(tail, locator)
        mark, _, _, _, _, disk, _, count, size, start = END64.unpack(source.read(start64, END64.size))
        if mark != b"PK\6\6":
            raise EOFError("the zip archive's directory is damaged")
    if disk:
        raise UnreadableCheckpoint("it is one part of a zip archive in several")
    return count, size, start


def _entries(directory: bytes, count: int) -> Iterator[Entry]:
    place = 0
    for _ in range(count):
        if place + CENTRAL.size > len(directory):
            raise EOFError(f"the zip directory lacks entries: {count:,} are declared")
        mark, _, _, flags, method, _, _, crc, packed, size, *lengths, _, _, _, offset = CENTRAL.unpack_from(
            directory, place
        )
        name_end = place + CENTRAL.size + lengths[0]
        if name_end + lengths[1] + lengths[2] > len(directory):
            raise EOFError("the zip directory is cut")
        extra = directory[name_end : name_end + lengths[1]]
        name = directory[place + CENTRAL.size : name_end].decode("utf-8", "surrogateescape")
        size, packed, offset = _sizes64(extra, size, packed, offset)
        _check_entry(mark, name, flags, method, packed, size)
        yield Entry(name, method, crc, packed, size, offset, 0)
        place = name_end + lengths[1] + lengths[2]


def _sizes64(extra: bytes, *sizes: int) -> list[int]:
    """Replace sizes of 4 GiB and more, which stand in the extra field 1, in this order, if they need it."""
    place, wide = 0, b""
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        if kind == 1:
            wide = extra[place + 4 : place + 4 + length]
        place += 4 + length
    numbers = iter(struct.unpack(f"<{len(wide) // 8}Q", wide[: len(wide) // 8 * 8]))
    return [next(numbers, size) if size == 0xFFFFFFFF else size for size in sizes]


def _check_entry(mark: bytes, name: str, flags: int, method: int, packed: int, size: int) -> None:
    if mark != b"PK\1\2":
        raise EOFError("the zip directory is damaged")
    if name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"):
        raise UnreadableCheckpoint(f"its zip entry {name[:80]!r} leads out of the archive")
    if flags & 1:
        raise UnreadableCheckpoint("it is an encrypted zip archive: unpack it first")
    if method not in (STORED, DEFLATED):
        raise UnreadableCheckpoint(f"its zip entry {name} is compressed by method {method}: repack it with deflate")
    if method == STORED and packed != size:
        raise EOFError(f"zip entry {name} of {size:,} bytes holds {packed:,}")
