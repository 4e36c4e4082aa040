"""Import mmdet, mmseg and mmpose once, without their import-time chatter."""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings

MODULES = tuple(f"{package}.{part}" for package in ("mmdet", "mmseg", "mmpose") for part in ("datasets", "models"))


def import_stack() -> None:
    """Fill OpenMMLab's registries.

    They print and warn on import about optional packages, moved names and their own escape sequences: nothing that a
    user of ours can act on. Warnings raised while training are not touched.
    """
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in MODULES:
            importlib.import_module(module)
