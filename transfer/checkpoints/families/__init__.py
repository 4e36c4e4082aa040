"""One file per family. A new one is its file, and a line here and in the import."""

from __future__ import annotations

from transfer.checkpoints.families import (
    barlow_twins,
    densecl,
    dino,
    fdsl,
    lightly,
    moco,
    pixpro,
    simclr,
    simsiam,
    solo_learn,
    swav,
    timm,
    torchvision,
    vissl,
)
from transfer.checkpoints.family import Family

FAMILIES: tuple[Family, ...] = (
    *(torchvision.FAMILY, timm.FAMILY, dino.FAMILY, moco.FAMILY, fdsl.FAMILY),
    *(simsiam.FAMILY, barlow_twins.FAMILY, swav.FAMILY, pixpro.FAMILY, densecl.FAMILY, simclr.FAMILY),
    *(vissl.FAMILY, solo_learn.FAMILY, lightly.FAMILY),
)
