"""Small pickles that ask for endless memory or time. Run as a program, in a process of limited memory, it reads them
all and prints what became of each as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

HEAD = b"\x80\x04"
GIANT = 2**31 - 1
LARGEST_INT = (2**61 - 1).to_bytes(9, "little")


def put(index: int) -> bytes:
    return b"r" + index.to_bytes(4, "little")


def get(index: int) -> bytes:
    return b"j" + index.to_bytes(4, "little")


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def repeated_call(name: bytes, argument: bytes, count: int = 100_000) -> bytes:
    """One argument, given to one function again and again."""
    call = get(0) + get(1) + b"\x85R"
    return HEAD + b"c" + name + b"\n" + put(0) + b"0" + argument + put(1) + b"0" + b"(" + call * count + b"l."


def doubling(single: bytes, pair: bytes, depth: int = 200) -> bytes:
    """A value in a pair with itself, in a pair with itself, ..."""
    return HEAD + single + (b"2" + pair) * depth


def doubled(side: int) -> bytes:
    """A frozenset of two pairs with the last one."""
    return b"0(" + get(side) + b"K\1\x86" + get(side) + b"K\2\x86\x91" + put(side)


DOUBLED = b"K\1\x85" + b"2\x86" * 200


def nested_storage(field: int) -> bytes:
    """A reference with a doubled tuple among its fields."""
    fields = [text("storage"), b"ctorch\nFloatStorage\n", text("0"), text("cpu"), b"K\1"]
    fields[field] = DOUBLED
    return HEAD + b"}" + text("w") + b"(" + b"".join(fields) + b"tQs."


def colliding() -> bytes:
    """Integers of one hash, which is their value modulo 2**61 - 1."""
    keys = (b"\x8a\x09" + (((2**61 - 1) * k).to_bytes(9, "little")) + b"N" for k in range(1, 100))
    many = b"".join(b"\x8a\x0a" + ((2**61 - 1) * k).to_bytes(10, "little") + b"N" for k in range(100, 60_000))
    return HEAD + b"}(" + b"".join(keys) + many + b"u."


def storage(numel: bytes) -> bytes:
    """A tensor of a plain pickle whose storage nobody provides."""
    pid = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + numel + b"tQ"
    return HEAD + b"}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + pid + b"K\0K\1\x85K\1\x85\x89}tRs."


def array(shape: bytes) -> bytes:
    """An array whose bytes are missing."""
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85C\1btR"
    kind = b"cnumpy\ndtype\n(" + text("f4") + b"\x89\x88tR"
    return HEAD + b"}" + text("w") + made + b"(K\1(" + shape + b"t" + kind + b"\x89C\0tbs."


BOMBS: dict[str, Callable[[], bytes]] = {
    "remembered objects": lambda: HEAD + b"N\x94" * 2_100_000 + b".",
    "giant memo index": lambda: HEAD + b"}" + put(GIANT) * 10 + b"2.",
    "sets": lambda: HEAD + b"(" + b"\x8f" * 1_100_000 + b"l.",
    "dicts": lambda: HEAD + b"(" + b"}" * 1_100_000 + b"l.",
    "marks": lambda: HEAD + b"(" * 1_100_000 + b".",
    "names": lambda: HEAD + b"".join(b"ca\n%x\n" % k for k in range(20_000)) + b".",
    "instructions": lambda: HEAD + b"N0" * 6_000_000 + b".",
    "copies of a text": lambda: repeated_call(b"_codecs\nencode", text("x" * 2**20)),
    "copies of a dict": lambda: repeated_call(
        b"collections\nOrderedDict", b"}(" + b"".join(text(str(k)) + b"N" for k in range(9999)) + b"u"
    ),
    "copies of a list": lambda: repeated_call(b"builtins\nlist", b"(" + b"N" * 99_999 + b"l"),
    "copies of a tuple": lambda: repeated_call(b"torch\nSize", b"(" + b"K\1" * 99_999 + b"t"),
    "copies of states": lambda: (
        HEAD + b"}(" + b"".join(text(str(k)) + b"N" for k in range(9999)) + b"u" + put(0)
        + b"0(" + (b"ca\nb\n)R" + get(0) + b"b") * 100_000 + b"l."
    ),
    "zeros": lambda: HEAD + b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    "giant number": lambda: HEAD + b"\x8b" + (10_000_000).to_bytes(4, "little") + b"\xff" * 10_000_000 + b".",
    "giant digits": lambda: b"\x80\x02}I" + b"9" * 5_000_000 + b"\n.",
    "giant hexadecimal": lambda: b"\x80\x02}I0x" + b"f" * 5_000_000 + b"\n.",
    "giant bytes": lambda: HEAD + b"\x8e" + (2**40).to_bytes(8, "little") + b"x.",
    "giant bytearray": lambda: b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"x.",
    "negative length": lambda: HEAD + b"T\xff\xff\xff\xffx.",
    "giant frame": lambda: HEAD + b"\x95" + b"\xff" * 8 + b"}2.",
    "doubled tuple": lambda: HEAD + b"}" + text("arch") + DOUBLED + b"s.",
    "doubled list": lambda: HEAD + b"}" + text("args") + b"]" + put(0) + b"".join(
        b"0(" + get(k) * 2 + b"l" + put(k + 1) for k in range(200)
    ) + b"s.",
    "doubled dict": lambda: HEAD + b"}" + text("args") + b"}" + put(0) + b"".join(
        b"0}(" + text("a") + get(k) + text("b") + get(k) + b"u" + put(k + 1) for k in range(200)
    ) + b"s.",
    "doubled text": lambda: HEAD + b"}" + text("args") + b"(" + text("x" * 10_000) + put(0) + get(0) * 9999 + b"ls.",
    "doubled tuple in an object": lambda: (
        HEAD + b"}" + text("args") + b"ca\nb\n)R}" + text("model") + DOUBLED + b"sbs."
    ),
    "doubled tuple as a reference": lambda: HEAD + b"}" + text("w") + DOUBLED + b"Qs.",
    **{f"doubled tuple in field {k} of a reference": partial(nested_storage, k) for k in range(5)},
    "doubled tuple as a function": lambda: HEAD + b"}" + text("w") + DOUBLED + b")Rs.",
    "doubled tuple as a dtype": lambda: HEAD + b"}" + text("w") + b"cnumpy\ndtype\n" + DOUBLED + b"\x85Rs.",
    "doubled tuple as byte order": lambda: (
        HEAD + b"}" + text("w") + b"cnumpy\ndtype\n" + text("f4") + b"\x85R(K\3" + DOUBLED + b"tbs."
    ),
    "doubled tuple as an attribute": lambda: (
        HEAD + b"}" + text("w") + b"cbuiltins\ngetattr\nca\nb\n" + DOUBLED + b"\x86Rs."
    ),
    "doubled tuple as a shape": lambda: array(DOUBLED),
    "doubled tuple as key": lambda: doubling(b"}K\1\x85", b"\x86") + b"Ns.",
    "doubled tuple in a set": lambda: HEAD + b"\x8f(K\1\x85" + b"2\x86" * 200 + b"\x90.",
    "doubled tuple in a call": lambda: HEAD + b"cbuiltins\nset\n(K\1\x85" + b"2\x86" * 200 + b"l\x85R.",
    "deep tuple as key": lambda: HEAD + b"})" + b"\x85" * 500_000 + b"Ns.",
    "doubled frozensets": lambda: (
        HEAD + b"\x8f(" + b"".join(
            b"(\x91" + put(side) + b"0" + get(side) + doubled(side) * 60 for side in (0, 1)
        ) + b"\x90."
    ),
    "colliding keys": colliding,
    "giant storage": lambda: storage(b"\x8a\x08" + b"\xff" * 7 + b"\x7f"),
    "negative storage": lambda: storage(b"J\xff\xff\xff\xff"),
    "giant array": lambda: array(b"\x8a\x05\xff\xff\xff\xff\x7f" * 3),
    "negative array": lambda: array(b"J\xff\xff\xff\xff"),
    "array of many dimensions": lambda: array(b"K\1" * 100_000),
}  # fmt: skip


def _peak() -> float:
    """The most memory since the last call, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main(folder: Path) -> None:
    """Read each in turn."""
    from transfer.checkpoints.reading.checkpoint import read_checkpoint
    from transfer.errors import CheckpointError

    with Path("/proc/self/statm").open(encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**31, used + 2**31))
    for name, build in BOMBS.items():
        path = folder / "bomb.pth"
        path.write_bytes(build())
        _peak()
        before, start = _peak(), time.perf_counter()
        try:
            read_checkpoint(path)
            outcome = "read"
        except CheckpointError as error:
            outcome = f"{type(error).__name__}: {error}"
        took = time.perf_counter() - start
        print(json.dumps({"name": name, "outcome": outcome, "seconds": took, "grown": _peak() - before}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
