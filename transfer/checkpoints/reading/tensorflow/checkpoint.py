"""Find the TensorFlow checkpoint that a path leads to, and read it, whatever its version.

A path may be a prefix, an index, a data file, a folder, a SavedModel or a single file.
"""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from transfer.checkpoints.reading.tensorflow.bundle import INDEX, SHARD, read_bundle
from transfer.checkpoints.reading.tensorflow.single_file import read_single_files
from transfer.checkpoints.reading.tensorflow.table import is_table
from transfer.errors import UnreadableCheckpoint

STATE = "checkpoint"
"""A text file in which training says which checkpoint is the newest."""

STATE_LINE = re.compile(r'^model_checkpoint_path:\s*"([^"]+)"', re.MULTILINE)
SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt", "tfhub_module.pb")
VARIABLES = "variables/variables.index"
SINGLE_FILE = r".*\.ckpt.*(?<!-of-\d{5})|.*-00000-of-\d{5}"
"""Names that V1 checkpoints have in a folder: of several shards the first."""


def find_tensorflow(path: Path) -> Path | None:
    """Return the `.index` of a V2 checkpoint, or the (first) file of a V1 one, that `path` leads to; None if neither.

    Raises UnreadableCheckpoint where a TensorFlow checkpoint is there, but incomplete or not the only one.
    """
    if path.is_dir():
        return _in_folder(path)
    if not path.is_file():
        return _of_prefix(path)
    if path.name in (STATE, *SAVED_MODEL):
        return _in_folder(path.parent)
    if path.suffix == ".meta":
        return _of_prefix(path.with_suffix(""))
    if found := SHARD.fullmatch(path.name):
        return _of_prefix(path.with_name(found[1]))
    return path if is_table(path) or _has_shards(path) else None


def read_tensorflow(path: Path) -> dict[str, Tensor]:
    """Read variables by name from what `find_tensorflow` finds; strings are left out. Raises UnreadableCheckpoint.

    Memory is bounded by the size of the files: tensors are views of them, or one copy where they are not aligned.
    """
    file = find_tensorflow(path)
    if file is None:
        raise UnreadableCheckpoint(f"{path} is no TensorFlow checkpoint. Give its prefix, its .index or its folder.")
    try:
        return read_bundle(file) if file.name.endswith(INDEX) else read_single_files(single_files(file))
    except UnreadableCheckpoint as error:
        raise UnreadableCheckpoint(
            f"{file} cannot be read as a TensorFlow checkpoint: {error}. If it was damaged on the way, "
            "download or copy it again, with all files that belong to it."
        ) from error


def single_files(first: Path) -> list[Path]:
    """Return all files of the V1 checkpoint that `first` belongs to."""
    found = re.fullmatch(r"(.+)-\d{5}-of-(\d{5})", first.name)
    if not found:
        return [first]
    files = [first.with_name(f"{found[1]}-{number:05}-of-{found[2]}") for number in range(int(found[2]))]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise UnreadableCheckpoint(f"it is one of {found[2]} files, without {', '.join(missing[:5])}")
    return files


def _of_prefix(prefix: Path) -> Path | None:
    """Find `model.ckpt-123`, also with question marks in place of the numbers of V1 shards."""
    index = prefix.with_name(prefix.name + INDEX)
    if index.is_file():
        return index
    if _has_shards(index):
        raise UnreadableCheckpoint(
            f"{prefix} has data files, but {index.name}, which says what is in them, is not next to them. Copy it."
        )
    pattern = re.escape(prefix.name).replace(r"\?", r"\d") + r"(-00000-of-\d{5})?"
    tables = (file for file in _files(prefix.parent) if re.fullmatch(pattern, file.name) and is_table(file))
    return next(tables, None)


def _in_folder(folder: Path) -> Path | None:
    if any((folder / name).is_file() for name in SAVED_MODEL):
        return _of_saved_model(folder)
    if newest := _newest(folder):
        return newest
    files = _files(folder)
    found = [file for file in files if _has_shards(file)]
    found = found or [file for file in files if re.fullmatch(SINGLE_FILE, file.name) and is_table(file)]
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise UnreadableCheckpoint(f"the folder {folder} holds several TensorFlow checkpoints: {names}. Name one.")
    return found[0] if found else None


def _of_saved_model(folder: Path) -> Path:
    index = folder / VARIABLES
    if not index.is_file():
        raise UnreadableCheckpoint(f"the SavedModel {folder} has no {VARIABLES}: it was copied without its weights.")
    return index


def _newest(folder: Path) -> Path | None:
    """Return what the `checkpoint` file names, if it is in this folder; its path is often that of another machine."""
    state = folder / STATE
    if not state.is_file():
        return None
    named = STATE_LINE.search(state.read_bytes()[:10_000].decode("utf-8", "replace"))
    return _of_prefix(folder / Path(named[1]).name) if named else None


def _has_shards(index: Path) -> bool:
    prefix = re.escape(index.name.removesuffix(INDEX))
    pattern = re.compile(rf"{prefix}\.data-\d{{5}}-of-\d{{5}}")
    return index.name.endswith(INDEX) and any(pattern.fullmatch(file.name) for file in _files(index.parent))


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file()) if folder.is_dir() else []
