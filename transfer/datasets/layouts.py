"""Where the files of a data set lie below the data root."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from transfer.datasets.mini.classes import SEMANTIC_CLASSES
from transfer.errors import BadOption, MissingData, UnknownName

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""VOC2012's label values 0 to 20; 255 is the border that no score counts."""


@dataclass(frozen=True)
class Split:
    """The files of one split.

    `annotations` is a COCO json (kinds `bbox`, `segm`, `keypoints`) or a folder of label-map PNGs (`miou`); `listing`
    a text file of image stems, None where every annotated image belongs; `classes` the names of the label values of
    the PNGs, empty where the json says them.
    """

    images: Path
    annotations: Path
    listing: Path | None = None
    classes: tuple[str, ...] = ()


Pair = tuple[Split, Split]


def locate(dataset: str, kind: str, root: Path) -> Pair:
    """(train, test) splits of `dataset` for `kind` (`bbox`, `segm`, `keypoints`, `miou`) below the data `root`.

    Raises UnknownName or BadOption for a pair that does not exist, MissingData when a path is not there.
    """
    layout = _layout(dataset, kind)
    base = next((root / name for name in HOMES[dataset] if (root / name / PROOF[dataset]).exists()), root)
    pair = layout(base)
    expected = [base / PROOF[dataset], *(path for split in pair for path in _paths(split))]
    missing = [path for path in expected if not path.exists()]
    if missing:
        raise MissingData(_explain(dataset, kind, root, missing))
    return pair


def _layout(dataset: str, kind: str) -> Callable[[Path], Pair]:
    if dataset not in LAYOUTS:
        raise UnknownName.among("data set", dataset, LAYOUTS)
    kinds = {known for layouts in LAYOUTS.values() for known in layouts}
    if kind not in kinds:
        raise UnknownName.among("kind", kind, kinds)
    if kind not in LAYOUTS[dataset]:
        others = ", ".join(name for name in LAYOUTS if kind in LAYOUTS[name])
        offers = ", ".join(LAYOUTS[dataset])
        raise BadOption(f"data set {dataset!r} has {offers}, not {kind!r}. Data sets with {kind!r}: {others}.")
    return LAYOUTS[dataset][kind]


def _coco(kind: str) -> Callable[[Path], Pair]:
    def pair(base: Path) -> Pair:
        train, test = (Split(base / s, base / "annotations" / f"{kind}_{s}.json") for s in ("train2017", "val2017"))
        return train, test

    return pair


def _mini_semantic(base: Path) -> Pair:
    maps = base / "stuffthingmaps"
    train, test = (Split(base / s, maps / s, None, SEMANTIC_CLASSES) for s in ("train2017", "val2017"))
    return train, test


def _voc2012(base: Path) -> Pair:
    images, maps, lists = base / "JPEGImages", base / "SegmentationClassAug", base / "ImageSets" / "Segmentation"
    train, test = (Split(images, maps, lists / f"{name}.txt", VOC_CLASSES) for name in ("trainaug", "val"))
    return train, test


def _paths(split: Split) -> tuple[Path, ...]:
    return (split.images, split.annotations, *([split.listing] if split.listing else []))


def _explain(dataset: str, kind: str, root: Path, missing: list[Path]) -> str:
    absent = "\n".join(f"  - {path}" for path in dict.fromkeys(missing))
    tree = "\n".join(f"  {line}" for line in TREES[dataset].splitlines())
    return (
        f"data set {dataset!r} for {kind!r} is not complete below {root}. Missing:\n{absent}\n"
        f"Expected below the data root:\n{tree}\n{ADVICE[dataset]}"
    )


_INSTANCES = _coco("instances")
_PERSONS = _coco("person_keypoints")

LAYOUTS: Mapping[str, Mapping[str, Callable[[Path], Pair]]] = {
    "coco": {"bbox": _INSTANCES, "segm": _INSTANCES, "keypoints": _PERSONS},
    "coco-mini": {"bbox": _INSTANCES, "segm": _INSTANCES, "keypoints": _PERSONS},
    "mini": {"bbox": _INSTANCES, "keypoints": _PERSONS, "miou": _mini_semantic},
    "voc2012": {"miou": _voc2012},
}
"""Which kinds a data set offers, and how its folder is laid out for each."""

HOMES: Mapping[str, tuple[str, ...]] = {
    "coco": ("coco", "."),
    "coco-mini": ("coco_mini",),
    "mini": ("mini", "."),
    "voc2012": ("VOCdevkit/VOC2012", "VOC2012"),
}
"""Folders below the root where the data set may lie, in order of preference."""

PROOF: Mapping[str, str] = {
    "coco": "annotations",
    "coco-mini": "permissive_images.txt",
    "mini": "mini.json",
    "voc2012": "JPEGImages",
}
"""What must be in a folder for it to be taken as the data set's; real COCO must never pass for `mini`."""

TREES: Mapping[str, str] = {
    "coco": """\
coco/   (or the root itself)
├── annotations/
│   ├── instances_train2017.json          instances_val2017.json
│   └── person_keypoints_train2017.json   person_keypoints_val2017.json
├── train2017/   *.jpg
└── val2017/     *.jpg""",
    "coco-mini": """\
coco_mini/
├── permissive_images.txt
├── annotations/
│   ├── instances_train2017.json          instances_val2017.json
│   └── person_keypoints_train2017.json   person_keypoints_val2017.json
├── train2017/   *.jpg
└── val2017/     *.jpg""",
    "mini": """\
mini/   (or the root itself)
├── mini.json
├── annotations/
│   ├── instances_train2017.json          instances_val2017.json
│   └── person_keypoints_train2017.json   person_keypoints_val2017.json
├── stuffthingmaps/   train2017/*.png   val2017/*.png
├── train2017/   *.jpg
└── val2017/     *.jpg""",
    "voc2012": """\
VOCdevkit/VOC2012/   (or VOC2012/)
├── ImageSets/Segmentation/   trainaug.txt   val.txt
├── JPEGImages/               *.jpg
└── SegmentationClassAug/     *.png""",
}

_OWN = "Set TRANSFER_DATA to the folder that holds this tree."

ADVICE: Mapping[str, str] = {
    "coco": _OWN,
    "coco-mini": f"{_OWN} It is a subset of COCO 2017: 80 images to train on, 79 to test on.",
    "mini": f"{_OWN} `mini` needs no download: transfer.datasets.mini.generate.generate_mini draws it.",
    "voc2012": f"{_OWN} SegmentationClassAug and trainaug.txt come with the SBD annotations in VOC's format.",
}
