"""pycocotools under the name of `xtcocotools`, which mmpose imports and which no longer installs.

xtcocotools adds to pycocotools' keypoint evaluation: other sigmas than COCO's 17, data sets without annotated areas
(CrowdPose, AI Challenger), whole-body parts, and CrowdPose's summary by crowding (Li et al., CVPR 2019).
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from typing import Any

import numpy as np
from pycocotools import coco, mask
from pycocotools.cocoeval import COCOeval as PycocoEval

from transfer.errors import UnknownName

__all__ = ["COCOeval", "install_cocotools"]

BODY_AREA = 0.53
"""Share of a person's box that counts as the person's area where none is annotated (xtcocotools)."""

CROWDED = (0.2, 0.8)
"""A CrowdPose image is easy below the first crowd index and hard from the second on (xtcocotools)."""

_WHOLE = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")
JOINTS = {
    "keypoints": _WHOLE[:1],
    "keypoints_crowd": _WHOLE[:1],
    "keypoints_body": _WHOLE[:1],
    "keypoints_foot": _WHOLE[1:2],
    "keypoints_face": _WHOLE[2:3],
    "keypoints_lefthand": _WHOLE[3:4],
    "keypoints_righthand": _WHOLE[4:5],
    "keypoints_wholebody": _WHOLE,
}
"""For each kind of keypoint evaluation the annotation's fields that hold its joints (Jin et al., ECCV 2020)."""


def install_cocotools() -> bool:
    """Serve `xtcocotools` from pycocotools; False where the genuine one can be imported."""
    if _importable("xtcocotools._mask"):
        return False
    package = module_from_spec(ModuleSpec("xtcocotools", None, is_package=True))
    parts = {"coco": coco, "cocoeval": sys.modules[__name__], "mask": mask}
    for name, module in parts.items():
        setattr(package, name, module)
        sys.modules[f"xtcocotools.{name}"] = module
    sys.modules["xtcocotools"] = package
    return True


def _importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except (ImportError, ValueError):  # a wheel built against NumPy 1 raises ValueError
        return False
    return True


class COCOeval(PycocoEval):
    """pycocotools' COCOeval with xtcocotools' arguments.

    `iouType` is `bbox`, `segm` or one of `JOINTS`; `sigmas` are the joints' standard deviations, `(K,)` shares of the
    square root of a person's area (default: COCO's 17); with `use_area=False` that area is 0.53 times the box's,
    whatever is annotated. Raises UnknownName for another kind.
    """

    def __init__(
        self,
        cocoGt: Any = None,
        cocoDt: Any = None,
        iouType: str = "keypoints",
        sigmas: Sequence[float] | np.ndarray | None = None,
        use_area: bool = True,
    ) -> None:
        if iouType not in (*JOINTS, "bbox", "segm"):
            raise UnknownName.among("kind of COCO evaluation", iouType, (*JOINTS, "bbox", "segm"))
        super().__init__(cocoGt, cocoDt, "keypoints" if iouType in JOINTS else iouType)
        self.kind = iouType
        self.stats = np.empty(0)
        self.use_area = use_area
        if sigmas is not None:
            self.params.kpt_oks_sigmas = np.asarray(sigmas)

    def _prepare(self) -> None:
        """Let pycocotools see the wanted joints, scores and areas, in copies: the annotations are the caller's."""
        if self.kind not in JOINTS:
            super()._prepare()
            return
        for person in self.cocoGt.anns.values():
            person.setdefault("num_keypoints", _visible(person["keypoints"]))
        super()._prepare()
        self._gts.update({key: [self._wanted(person) for person in people] for key, people in self._gts.items()})
        for key, people in self._dts.items():
            found = [_part(person, self.kind) for person in people]
            self._dts[key] = [person for person in found if _visible(person["keypoints"])]

    def _wanted(self, person: dict[str, Any]) -> dict[str, Any]:
        part = _part(person, self.kind)
        width, height = person["bbox"][2:]
        area = person["area"] if self.use_area else width * height * BODY_AREA
        return {**part, "area": area, "ignore": person.get("iscrowd", 0) or not _visible(part["keypoints"])}

    def summarize(self) -> None:
        """Print and keep `stats`: pycocotools' ten, or AP, AP50, AP75, AR, AR50, AR75 and AP easy, medium, hard."""
        super().summarize()
        if self.kind == "keypoints_crowd":
            self.stats = np.array([*self.stats[:3], *self.stats[5:8], *self._precision_by_crowding()])
            print("Average Precision easy, medium, hard:", ", ".join(f"{value:.3f}" for value in self.stats[6:]))

    def _precision_by_crowding(self) -> list[float]:
        index = {image["id"]: image["crowdIndex"] for image in self.cocoGt.imgs.values()}
        level = {image: int(np.searchsorted(CROWDED, value, side="right")) for image, value in index.items()}
        return [self._precision_on([image for image in level if level[image] == wanted]) for wanted in range(3)]

    def _precision_on(self, images: list[int]) -> float:
        """AP on some of the images, -1 where they show nobody."""
        part = COCOeval(self.cocoGt, self.cocoDt, "keypoints", self.params.kpt_oks_sigmas, self.use_area)
        part.params.imgIds = images
        with contextlib.redirect_stdout(io.StringIO()):
            part.evaluate()
            part.accumulate()
        return float(part.eval["precision"][:, :, :, 0, :].mean())


def _part(person: dict[str, Any], kind: str) -> dict[str, Any]:
    """The annotation or result as one of ordinary keypoints, with the part's score where it has one."""
    joints = [value for field in JOINTS[kind] for value in person[field]]
    return {**person, "keypoints": joints, **_part_score(person, kind)}


def _part_score(person: dict[str, Any], kind: str) -> dict[str, float]:
    key = kind.replace("keypoints", "").lstrip("_") + "_score"
    return {"score": person[key]} if key in person else {}


def _visible(joints: Sequence[float]) -> int:
    """Number of joints with a positive third value."""
    return sum(value > 0 for value in joints[2::3])
