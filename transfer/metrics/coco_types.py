"""Types of ordinary COCO files: what an entry must hold for hotcoco to read it as pycocotools does.

What is left raw here, hotcoco reads as a list of numbers or refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec.json import Decoder

Box = tuple[float, float, float, float]
Size = tuple[int, int]
Polygon = Annotated[list[float], msgspec.Meta(min_length=6)]
Polygons = Annotated[list[Polygon], msgspec.Meta(min_length=1)]
VALUES = 3 * 17
"""Numbers of a COCO person: x, y and visibility or score of each joint."""

AnyObject = TypeVar("AnyObject", bound="Object")


class Rle(msgspec.Struct, gc=False):
    """Run lengths of a mask, compressed or as numbers; `size` is height, width."""

    size: Size
    counts: str | list[int]


class Image(msgspec.Struct, gc=False):
    """An image of the truth."""

    id: int
    height: int = 0
    width: int = 0


class Category(msgspec.Struct, gc=False):
    """A category of the truth."""

    id: int


class Object(msgspec.Struct, gc=False):
    """An annotation."""

    id: int
    image_id: int
    category_id: int
    area: float
    iscrowd: int


class BoxObject(Object, gc=False):
    """An annotated box, xywh."""

    bbox: Box


class MaskObject(Object, gc=False):
    """An annotated mask."""

    segmentation: Rle | Polygons


class PersonObject(BoxObject, gc=False):
    """An annotated person."""

    num_keypoints: int
    keypoints: msgspec.Raw


class Detection(msgspec.Struct, gc=False):
    """A prediction."""

    image_id: int
    category_id: int
    score: float


class BoxDetection(Detection, gc=False):
    """A predicted box, xywh."""

    bbox: Box


class MaskDetection(Detection, gc=False):
    """A predicted mask."""

    segmentation: Rle
    bbox: Box | msgspec.UnsetType = msgspec.UNSET


class PersonDetection(Detection, gc=False):
    """A predicted person."""

    keypoints: msgspec.Raw
    bbox: Box | msgspec.UnsetType = msgspec.UNSET


class Truth(msgspec.Struct, Generic[AnyObject]):
    """An annotation file."""

    images: list[Image]
    categories: list[Category]
    annotations: list[AnyObject]


@dataclass(frozen=True)
class CocoType:
    """What COCOeval compares: its name for it, and the types of annotations and results.

    Entries may hold `masks` or `joints`; their results may have a box beside these.
    """

    iou_type: str
    truth: Decoder[Truth[Any]]
    results: Decoder[list[Any]]
    masks: bool = False
    joints: bool = False


BOXES = CocoType("bbox", Decoder(Truth[BoxObject]), Decoder(list[BoxDetection]))
MASKS = CocoType("segm", Decoder(Truth[MaskObject]), Decoder(list[MaskDetection]), masks=True)
JOINTS = CocoType("keypoints", Decoder(Truth[PersonObject]), Decoder(list[PersonDetection]), joints=True)
