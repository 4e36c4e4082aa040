"""The families of checkpoints, one module each. A new one is its module, and a line here and in the import."""

from __future__ import annotations

from transfer.checkpoints.families import (
    barlow_twins,
    beit,
    big_vision,
    bit,
    byol,
    cae,
    clip,
    data2vec,
    densecl,
    detectron2,
    dino,
    dinov2,
    dinov3,
    esvit,
    fdsl,
    google_vit,
    huggingface,
    ibot,
    ijepa,
    lightly,
    mae,
    moco,
    mocov3,
    msn,
    openclip,
    openmmlab,
    pixpro,
    remixmatch,
    segmenter,
    simclr,
    simclr_google,
    simmim,
    simsiam,
    slim,
    solo_learn,
    swav,
    timm,
    torchvision,
    usb,
    vicreg,
    vissl,
)
from transfer.checkpoints.keys.family import Family

FAMILIES: tuple[Family, ...] = (
    torchvision.FAMILY,
    timm.FAMILY,
    barlow_twins.FAMILY,
    beit.FAMILY,
    big_vision.FAMILY,
    bit.FAMILY,
    byol.FAMILY,
    cae.FAMILY,
    clip.FAMILY,
    data2vec.FAMILY,
    densecl.FAMILY,
    detectron2.FAMILY,
    dino.FAMILY,
    dinov2.FAMILY,
    dinov3.FAMILY,
    esvit.FAMILY,
    fdsl.FAMILY,
    google_vit.FAMILY,
    huggingface.FAMILY,
    ibot.FAMILY,
    ijepa.FAMILY,
    lightly.FAMILY,
    mae.FAMILY,
    moco.FAMILY,
    mocov3.FAMILY,
    msn.FAMILY,
    openclip.FAMILY,
    openmmlab.FAMILY,
    pixpro.FAMILY,
    remixmatch.FAMILY,
    segmenter.FAMILY,
    simclr.FAMILY,
    simclr_google.FAMILY,
    simmim.FAMILY,
    simsiam.FAMILY,
    slim.FAMILY,
    solo_learn.FAMILY,
    swav.FAMILY,
    usb.FAMILY,
    vicreg.FAMILY,
    vissl.FAMILY,
)
"""Every family that is recognised; their order is that of listings."""


def families_table() -> str:
    """Return the Markdown table of the families that docs/checkpoints.md shows; `make docs` writes it there."""
    rows = ["| family | also called | what |", "| :-- | :-- | :-- |"]
    for family in FAMILIES:
        aliases = ", ".join(f"`{alias}`" for alias in family.aliases)
        rows.append(f"| `{family.name}` | {aliases} | {family.description} |")
    return "\n".join(rows) + "\n"
