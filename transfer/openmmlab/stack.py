"""Import mmdet, mmseg and mmpose (where it is) once, without their chatter, and this package's own parts of models."""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from transfer.files.packages import POSE, lacking

PARTS = ("datasets", "models", "engine", "evaluation", "visualization")
THEIRS = tuple(f"{package}.{part}" for package in ("mmdet", "mmseg") for part in PARTS)
OURS = tuple(
    f"transfer.openmmlab.{part}"
    for part in (
        "averages",
        "backbone",
        "data",
        "heads.deeplab_aspp_l",
        "heads.linear",
        "heads.regions",
        "layer_decay",
        "necks",
        "preprocessing",
        "sampling",
        "writers",
    )
)
POSE_PARTS = (*(f"mmpose.{part}" for part in PARTS), "transfer.openmmlab.heads.grmi")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what OpenMMLab prints and warns while it imports and builds: nothing that a user of ours can act on.

    Optional packages, moved names, escape sequences of its own, defaults that our heads chose on purpose. Warnings
    raised while training are not touched.
    """
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def import_stack() -> None:
    """Fill OpenMMLab's registries with what configs name; takes seconds."""
    with quiet():
        for module in THEIRS + OURS + (() if lacking(POSE) else POSE_PARTS):
            importlib.import_module(module)
        torch.meshgrid(torch.zeros(1))  # as mmdet's points call it: torch warns of that once in a process, so here
    if not lacking(POSE):
        _take_joints_from_mmpose()


def _take_joints_from_mmpose() -> None:
    """mmpose runs the Python file of COCO's joints that it finds below the current folder, before its own."""
    import mmpose
    from mmpose.datasets import CocoDataset

    joints = Path(mmpose.__file__).parent / ".mim" / CocoDataset.METAINFO["from_file"]
    CocoDataset.METAINFO = {"from_file": str(joints)}
