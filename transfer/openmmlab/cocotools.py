"""`xtcocotools`, which mmpose imports, served by pycocotools."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

PACKAGE = "xtcocotools"


class ExtendedCOCOeval(COCOeval):
    """COCOeval with xtcocotools' two extra arguments.

    `sigmas` are the joints' falloffs (any number of joints); without `use_area` a truth's area in the OKS is 0.53 of
    its box, for data sets that annotate no area (xtcocotools, cocoeval.py).
    """

    def __init__(
        self, cocoGt: Any = None, cocoDt: Any = None, iouType: str = "segm", sigmas: Any = None, use_area: bool = True  # noqa: N803
    ) -> None:
        super().__init__(cocoGt, cocoDt, iouType)
        if sigmas is not None:
            self.params.kpt_oks_sigmas = np.asarray(sigmas)
        self.use_area = use_area

    def _prepare(self) -> None:
        super()._prepare()
        if self.use_area:
            return
        for truths in self._gts.values():
            for truth in truths:
                truth["area"] = truth["bbox"][2] * truth["bbox"][3] * 0.53


def install_cocotools() -> bool:
    """Register the replacement, unless xtcocotools is installed; says whether the replacement is in use."""
    found = sys.modules.get(PACKAGE)
    if found is not None:
        return getattr(found, "__doc__", None) == __doc__
    if importlib.util.find_spec(PACKAGE) is not None:
        return False
    contents = {"coco": {"COCO": COCO}, "cocoeval": {"COCOeval": ExtendedCOCOeval}, "mask": vars(mask)}
    package = _module(PACKAGE)
    package.__path__ = []
    for name, members in contents.items():
        module = _module(f"{PACKAGE}.{name}")
        module.__dict__.update({key: value for key, value in members.items() if not key.startswith("__")})
        setattr(package, name, module)
    return True


def _module(name: str) -> ModuleType:
    module = ModuleType(name, __doc__)
    module.__spec__ = ModuleSpec(name, loader=None, origin=__name__)
    sys.modules[name] = module
    return module
