"""Import mmdet, mmseg and mmpose once, without their import-time chatter, and this package's own parts of models."""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings

THEIRS = tuple(f"{package}.{part}" for package in ("mmdet", "mmseg", "mmpose") for part in ("datasets", "models"))
OURS = tuple(f"transfer.openmmlab.{part}" for part in ("backbone", "data", "necks", "sampling", "writers"))


def import_stack() -> None:
    """Fill OpenMMLab's registries with what configs name; takes seconds.

    They print and warn on import about optional packages, moved names and their own escape sequences: nothing that a
    user of ours can act on. Warnings raised while training are not touched.
    """
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in THEIRS + OURS:
            importlib.import_module(module)
