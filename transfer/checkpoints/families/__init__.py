"""One file per family. A new one is its file, and a line here and in the import."""

from __future__ import annotations

from transfer.checkpoints.families import (
    beit,
    bit,
    byol,
    cae,
    data2vec,
    detectron2,
    dino,
    dinov2,
    dinov3,
    esvit,
    fdsl,
    huggingface,
    ibot,
    ijepa,
    mae,
    moco,
    mocov3,
    msn,
    segmenter,
    simmim,
    timm,
    torchvision,
    vicreg,
)
from transfer.checkpoints.family import Family

FAMILIES: tuple[Family, ...] = (
    torchvision.FAMILY,
    timm.FAMILY,
    beit.FAMILY,
    bit.FAMILY,
    byol.FAMILY,
    cae.FAMILY,
    data2vec.FAMILY,
    detectron2.FAMILY,
    dino.FAMILY,
    dinov2.FAMILY,
    dinov3.FAMILY,
    esvit.FAMILY,
    fdsl.FAMILY,
    huggingface.FAMILY,
    ibot.FAMILY,
    ijepa.FAMILY,
    mae.FAMILY,
    moco.FAMILY,
    mocov3.FAMILY,
    msn.FAMILY,
    segmenter.FAMILY,
    simmim.FAMILY,
    vicreg.FAMILY,
)
"""Every family that is recognised; their order is that of listings."""
