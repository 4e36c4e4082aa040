"""Reading a checkpoint file, safely, or saying in one paragraph why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer.checkpoints.containers import read_config, read_legacy, read_safetensors, read_zip
from transfer.checkpoints.tensorflow.finding import find_tensorflow
from transfer.checkpoints.tensorflow.reading import read_tensorflow
from transfer.errors import UnreadableCheckpoint, UnsafeCheckpoint

WEIGHTS = ("model.safetensors", "pytorch_model.bin", "*.safetensors", "*.pth", "*.pt", "*.bin")
"""What is taken from a folder, in this order."""

FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"version https://git-lfs", "a git-lfs pointer: fetch the file itself with `git lfs pull`"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"BZh", "a bzip2 archive: unpack it first"),
    (b"\xfd7zXZ", "an xz archive: unpack it first"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x7fELF", "a program"),
)


@dataclass(frozen=True)
class RawCheckpoint:
    """What a file holds: a tree of dicts, tensors and plain values.

    `container` is `torch zip`, `torch legacy`, `safetensors` or `tensorflow`; `config` is a `config.json` found beside
    the weights; `metadata` a safetensors file's own.
    """

    path: Path
    container: str
    tree: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_checkpoint(path: str | Path) -> RawCheckpoint:
    """Read a file, or the weights in a folder, without running anything that it brings.

    Raises UnreadableCheckpoint for what is missing, damaged or no checkpoint, UnsafeCheckpoint for a file that tries
    to run code.
    """
    found = find_tensorflow(Path(path))
    file = found or _weights_file(Path(path))
    try:
        return _read(file, "tensorflow" if found else _container(file))
    except UnsafeCheckpoint as error:
        raise UnsafeCheckpoint(f"{file}: {error}") from error
    except UnreadableCheckpoint:
        raise
    except Exception as error:  # in damaged bytes any opcode meets any stack, and any header any length
        raise UnreadableCheckpoint(
            f"{file} is damaged or truncated ({type(error).__name__}: {error!s:.200}). {_again(file)}"
        ) from error


def _read(file: Path, container: str) -> RawCheckpoint:
    if container == "tensorflow":
        return RawCheckpoint(file, container, read_tensorflow(file))
    if container == "safetensors":
        tree, metadata = read_safetensors(file)
        return RawCheckpoint(file, container, tree, read_config(file), metadata)
    tree = read_zip(file) if container == "torch zip" else read_legacy(file)
    if not isinstance(tree, Mapping):
        raise UnreadableCheckpoint(
            f"{file} holds a {type(tree).__name__}, not a dictionary of weights. Save a state dict instead: "
            "torch.save(model.state_dict(), file)."
        )
    return RawCheckpoint(file, container, tree, read_config(file))


def _weights_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise UnreadableCheckpoint(f"there is no file {path}. Give the path of a checkpoint file or of its folder.")
    for pattern in WEIGHTS:
        found = sorted(path.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(file.name for file in found)
            raise UnreadableCheckpoint(f"the folder {path} holds several weights files: {names}. Name one of them.")
    raise UnreadableCheckpoint(
        f"the folder {path} holds no weights: expected {', '.join(WEIGHTS[:2])} or one file of .safetensors, .pth, "
        ".pt or .bin. Give the path of the checkpoint file."
    )


def _container(file: Path) -> str:
    """Told by the first bytes, not by the file's name."""
    with file.open("rb") as stream:
        head = stream.read(1024)
    if not head:
        raise UnreadableCheckpoint(f"{file} is empty (0 bytes). {_again(file)}")
    if head.startswith(b"PK\x03\x04"):
        return "torch zip"
    if _is_safetensors(head, file.stat().st_size):
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "torch legacy"
    raise UnreadableCheckpoint(
        f"{file} is not a checkpoint: it is {_foreign(head)}. Expected a torch file (.pth, .pt, .pth.tar, .bin) or "
        f".safetensors. {_again(file)}"
    )


def _is_safetensors(head: bytes, size: int) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= max(size, 100_000_000)


def _foreign(head: bytes) -> str:
    for magic, name in FOREIGN:
        if head.startswith(magic):
            return name
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, probably an error message or a login form that was saved under this name"
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it, or re-save a torch file of before 2017 with a newer torch"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return f"text that begins with {head[:40].decode('utf-8', 'replace')!r}"
    return f"binary data that begins with {head[:8].hex(' ')}"


def _again(file: Path) -> str:
    return f"Download or copy it again and compare its size ({file.stat().st_size:,} bytes here) with the source's."
