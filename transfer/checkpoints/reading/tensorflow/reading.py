"""Reading a TensorFlow checkpoint of any version."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from transfer.checkpoints.reading.tensorflow.bundle import INDEX, read_bundle
from transfer.checkpoints.reading.tensorflow.finding import find_tensorflow, single_files
from transfer.checkpoints.reading.tensorflow.single_file import read_single_files
from transfer.errors import UnreadableCheckpoint


def read_tensorflow(path: Path) -> dict[str, Tensor]:
    """Variables by name, of what `find_tensorflow` finds; strings are left out. Raises UnreadableCheckpoint.

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
