"""Drawn pictures with enough in them to be told apart, and files of them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transfer.dedup.index import NO_ATTRIBUTES, Index, finish_index, make_shard, prepare_index
from transfer.dedup.shards import Describe, Detail, hash_piece
from transfer.dedup.sources.inputs import find_pieces
from transfer.dedup.sources.pieces import Piece

Pixels = NDArray[np.uint8]

TURNS = (
    lambda image: image,
    lambda image: image[:, ::-1],
    lambda image: image[::-1],
    lambda image: np.rot90(image, 2),
    lambda image: image.swapaxes(0, 1),
    lambda image: np.rot90(image, -1),
    lambda image: np.rot90(image, 1),
    lambda image: np.rot90(image, 2).swapaxes(0, 1),
)
"""What the names in TRANSFORMS say, done to pixels."""


@lru_cache(maxsize=256)
def picture(seed: int, height: int = 120, width: int = 160) -> Pixels:
    """`(height, width, 3)`: blotches of every size, as photographs have them. Unrelated for every seed."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cells in (3, 6, 12, 24, 48):
        grid = (rng.normal(size=(cells, cells, 3)) / cells**0.8).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    low, high = total.min(), total.max()
    return ((total - low) / (high - low) * 255).astype(np.uint8)


def encode(pixels: Pixels | Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """An image file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def fill(folder: Path, seeds: Iterable[int]) -> Path:
    """Write `<seed>.jpg` for each."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / f"{seed:03}.jpg").write_bytes(encode(picture(seed)))
    return folder


def make_index(folder: Path, inputs: Sequence[Path], describe: Describe | None = None) -> Index:
    """Index as `transfer dedup index` does, one piece after the other."""
    pieces: list[Piece] = find_pieces(inputs)
    prepare_index(folder, pieces)
    tiny = {"name": "tiny", "sha256": "0" * 64}
    attributes = NO_ATTRIBUTES if describe is None else {**NO_ATTRIBUTES, "descriptor": tiny}
    work = partial(hash_piece, detail=Detail(describe))
    return finish_index(folder, [make_shard(folder, piece, attributes, work) for piece in pieces], attributes)
