"""Import mmdet, mmseg and mmpose once, without their import-time chatter, and this package's own parts of models."""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

PARTS = ("datasets", "models", "engine", "evaluation", "visualization")
THEIRS = tuple(f"{package}.{part}" for package in ("mmdet", "mmseg", "mmpose") for part in PARTS)
OURS = tuple(
    f"transfer.openmmlab.{part}"
    for part in (
        "backbone",
        "data",
        "heads.deeplab_aspp_l",
        "heads.grmi",
        "heads.linear",
        "heads.regions",
        "layer_decay",
        "necks",
        "preprocessing",
        "sampling",
        "writers",
    )
)


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
        for module in THEIRS + OURS:
            importlib.import_module(module)
    _take_joints_from_mmpose()


def _take_joints_from_mmpose() -> None:
    """mmpose runs the Python file of COCO's joints that it finds below the current folder, before its own."""
    import mmpose
    from mmpose.datasets import CocoDataset

    joints = Path(mmpose.__file__).parent / ".mim" / CocoDataset.METAINFO["from_file"]
    CocoDataset.METAINFO = {"from_file": str(joints)}
