"""One file per family. A new one is its file, and a line here and in the import."""

from __future__ import annotations

from transfer.checkpoints.families import bit, byol, detectron2, dino, fdsl, moco, segmenter, timm, torchvision, vicreg
from transfer.checkpoints.family import Family

FAMILIES: tuple[Family, ...] = (
    *(torchvision.FAMILY, timm.FAMILY, dino.FAMILY, moco.FAMILY, fdsl.FAMILY),
    *(bit.FAMILY, byol.FAMILY, detectron2.FAMILY, segmenter.FAMILY, vicreg.FAMILY),
)
