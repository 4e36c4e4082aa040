"""From files to the samples of a step, in training and in the test, for each library of OpenMMLab.

Scales are (width, height) as OpenMMLab wants them of resizing, crops of images (height, width).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Config = dict[str, Any]
Pair = tuple[int, int]

FLIP: Config = {"type": "RandomFlip", "prob": 0.5}
TEST_KEYS = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")


def detection_data(
    augmentation: Sequence[Config], scale: Pair, *, test_batch: int, smallest: int, masks: bool = False
) -> Config:
    """Return loaders of images with boxes (and `masks`), tested at one `scale`.

    Images without objects, or with a side below `smallest` pixels, are not trained on.
    """
    wanted = {"with_mask": True, "poly2mask": False} if masks else {}
    load: list[Config] = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations", "with_bbox": True, **wanted}]
    train = [*load, *augmentation, {"type": "PackDetInputs"}]
    test = [{"type": "LoadImageFromFile"}, resized(scale), {"type": "PackDetInputs", "meta_keys": TEST_KEYS}]
    images = {"type": "CocoDataset", "filter_cfg": {"filter_empty_gt": True, "min_size": smallest}}
    return _loaders({**images, "pipeline": train}, {"type": "CocoDataset", "pipeline": test}, test_batch)


def resized(scale: Pair) -> Config:
    """Return the step that fits images into `scale`."""
    return {"type": "Resize", "scale": scale, "keep_ratio": True}


def resized_to_one_of(scales: Sequence[Pair]) -> Config:
    """Return the step that fits images into one of `scales`, drawn anew for each."""
    return {"type": "RandomChoiceResize", "scales": list(scales), "keep_ratio": True}


def shorter_sides(first: int, last: int, longest: int = 1333) -> tuple[Pair, ...]:
    """Return scales of every 32nd shorter side from `first` to `last` pixels."""
    return tuple((longest, side) for side in range(first, last + 1, 32))


def jittered_crops(scale: Pair, ratios: tuple[float, float]) -> list[Config]:
    """Return the steps that crop `scale` out of images of `scale` times one of `ratios` (ViTDet)."""
    return [
        {"type": "RandomResize", "scale": scale, "ratio_range": ratios, "keep_ratio": True},
        {"type": "RandomCrop", "crop_size": scale, "allow_negative_crop": True},
        {"type": "FilterAnnotations", "min_gt_bbox_wh": (1e-2, 1e-2)},
    ]


def half_cropped(scales: Sequence[Pair], before: Sequence[Pair], crop: Pair) -> Config:
    """Return the step that fits images into one of `scales`, half of them cropped before (DETR, Swin).

    A crop's sides are drawn between the two numbers of `crop`, from images in one of the scales `before`, if any.
    """
    resizing = resized_to_one_of(scales)
    size = {"crop_type": "absolute_range", "crop_size": crop, "allow_negative_crop": True}
    cropping = [*([resized_to_one_of(before)] if before else []), {"type": "RandomCrop", **size}, resizing]
    return {"type": "RandomChoice", "transforms": [[resizing], cropping]}


def segmentation_data(
    *,
    crop: Pair,
    image_scale: Pair,
    ratios: tuple[float, float] = (0.5, 2.0),
    most_of_one_class: float = 0.75,
    test_batch: int = 1,
) -> Config:
    """Return loaders of images with label maps: crops of images of a scale times one of `ratios`, tested uncropped.

    A crop of which one class has more than `most_of_one_class` is drawn again, ten times at most.
    """
    train = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations"},
        {"type": "RandomResize", "scale": image_scale, "ratio_range": ratios, "keep_ratio": True},
        {"type": "RandomCrop", "crop_size": crop, "cat_max_ratio": most_of_one_class},
        FLIP,
        {"type": "PackSegInputs"},
    ]
    test = [{"type": "LoadImageFromFile"}, resized(image_scale), {"type": "PackSegInputs"}]
    images = {"type": "BaseSegDataset", "seg_map_suffix": ".png"}
    return _loaders({**images, "pipeline": train}, {**images, "pipeline": test}, test_batch)


def pose_data(codec: Config, augmentation: Sequence[Config], *, test_batch: int = 32, **affine: Any) -> Config:
    """Return loaders of crops of one person; `codec` makes the targets and says how large crops are."""
    load: list[Config] = [{"type": "LoadImage"}, {"type": "GetBBoxCenterScale"}]
    crop = {"type": "TopdownAffine", "input_size": codec["input_size"], **affine}
    flip = {"type": "RandomFlip", "direction": "horizontal"}
    target = {"type": "GenerateTarget", "encoder": codec}
    train = [*load, flip, *augmentation, crop, target, {"type": "PackPoseInputs"}]
    test = [*load, crop, {"type": "PackPoseInputs"}]
    persons = {"type": "CocoDataset", "data_mode": "topdown"}
    return _loaders({**persons, "pipeline": train}, {**persons, "pipeline": test}, test_batch)


def _loaders(train: Config, test: Config, test_batch: int) -> Config:
    tested = {"batch_size": test_batch, "dataset": {**test, "test_mode": True}}
    return {"train_dataloader": {"dataset": train}, "test_dataloader": tested}
