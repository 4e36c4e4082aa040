"""Find the file of a folder that holds its weights."""

from __future__ import annotations

from pathlib import Path

from transfer.checkpoints.reading.containers.distributed import PLAN
from transfer.checkpoints.reading.containers.sharded import INDICES
from transfer.errors import UnreadableCheckpoint

LATEST = "latest"
"""DeepSpeed's note of the newest checkpoint's folder."""

WEIGHTS = (
    "model.safetensors",
    "pytorch_model.bin",
    *INDICES,
    PLAN,
    "mp_rank_*_model_states.pt",
    "*.safetensors",
    "*.pth",
    "*.pt",
    "*.bin",
    "*.ckpt",
    "*.pth.tar",
    "*.torch",
    "*.npz",
    "*.pkl",
)
"""What is taken from a folder, in this order."""


def weights_file(path: Path) -> Path:
    """Return `path`, or the one file of its kind in a folder.

    Raises UnreadableCheckpoint where there is none, or several.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise UnreadableCheckpoint(f"there is no file {path}. Give the path of a checkpoint file or of its folder.")
    folder = _latest(path)
    for pattern in WEIGHTS:
        found = sorted(folder.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(file.name for file in found[:10])
            raise UnreadableCheckpoint(f"the folder {folder} holds several weights files: {names}. Name one of them.")
    raise UnreadableCheckpoint(
        f"the folder {folder} holds no weights: expected {', '.join(WEIGHTS[:2])} or one file of .safetensors, .pth, "
        ".pt, .bin, .ckpt or .npz. Give the path of the checkpoint file."
    )


def _latest(folder: Path) -> Path:
    note = folder / LATEST
    if not note.is_file() or note.stat().st_size > 1000:
        return folder
    newest = folder / Path(note.read_text(encoding="utf-8", errors="replace").strip()).name
    return newest if newest.is_dir() else folder
