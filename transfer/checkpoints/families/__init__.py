"""One file per family. A new one is its file, and a line here and in the import."""

from __future__ import annotations

from transfer.checkpoints.families import dino, fdsl, huggingface, moco, timm, torchvision
from transfer.checkpoints.family import Family

FAMILIES: tuple[Family, ...] = (
    torchvision.FAMILY,
    timm.FAMILY,
    dino.FAMILY,
    moco.FAMILY,
    fdsl.FAMILY,
    huggingface.FAMILY,
)
