"""One file per family. A new one is its file, and a line here and in the import."""

from __future__ import annotations

from transfer.checkpoints.families import (
    beit,
    cae,
    data2vec,
    dino,
    dinov2,
    dinov3,
    esvit,
    fdsl,
    ibot,
    ijepa,
    mae,
    moco,
    mocov3,
    msn,
    simmim,
    timm,
    torchvision,
)
from transfer.checkpoints.family import Family

FAMILIES: tuple[Family, ...] = (
    torchvision.FAMILY,
    timm.FAMILY,
    dino.FAMILY,
    ibot.FAMILY,
    esvit.FAMILY,
    dinov2.FAMILY,
    dinov3.FAMILY,
    moco.FAMILY,
    mocov3.FAMILY,
    mae.FAMILY,
    beit.FAMILY,
    data2vec.FAMILY,
    simmim.FAMILY,
    cae.FAMILY,
    msn.FAMILY,
    ijepa.FAMILY,
    fdsl.FAMILY,
)
