"""What a spawned worker process delivers: it starts from nothing and unpickles data sets of mmdet."""

from __future__ import annotations

import json
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader

from transfer.errors import MissingData
from transfer.openmmlab.data import PositionedDataset, WrappedDataset

IMAGES = 3
HEIGHT, WIDTH = 40, 60
RANDOM_TRANSFORMS = (
    {"type": "RandomFlip", "prob": 0.5},
    {"type": "RandomCrop", "crop_size": (24, 24)},
    {"type": "PhotoMetricDistortion"},
)


@pytest.fixture
def coco(tmp_path: Path) -> dict[str, Any]:
    """Config of an mmdet data set of three images with a box each, and augmentation that draws much."""
    init_default_scope("mmdet")
    draw = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(IMAGES)]
    for name in names:
        Image.fromarray(draw.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(tmp_path / name)
    truth = {
        "images": [{"id": id, "file_name": name, "height": HEIGHT, "width": WIDTH} for id, name in enumerate(names)],
        "annotations": [{"id": id + 1, "image_id": id, **BOX} for id in range(IMAGES)],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    loading = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations", "with_bbox": True}]
    return {
        "type": "CocoDataset",
        "ann_file": str(tmp_path / "truth.json"),
        "data_prefix": {"img": str(tmp_path)},
        "metainfo": {"classes": ["thing"]},
        "pipeline": [*loading, *RANDOM_TRANSFORMS, {"type": "PackDetInputs"}],
    }


BOX = {
    "category_id": 1,
    "bbox": [5, 5, 50, 30],
    "area": 1500,
    "iscrowd": 0,
    "keypoints": [20, 20, 2] * 17,
    "num_keypoints": 17,
}


def content(sample: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, str, int]:
    annotated = sample["data_samples"]
    boxes = annotated.gt_instances.bboxes.tensor
    return sample["inputs"], boxes, annotated.img_path, annotated.gt_instances.get("position", -1)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    (pixels, boxes, *rest), (other_pixels, other_boxes, *other_rest) = content(one), content(other)
    return torch.equal(pixels, other_pixels) and torch.equal(boxes, other_boxes) and rest == other_rest


def poses(coco: dict[str, Any]) -> Any:
    """mmpose's own data set on the same files: unpickling it needs every stand-in."""
    steps = ({"type": "LoadImage"}, {"type": "GetBBoxCenterScale"}, {"type": "TopdownAffine", "input_size": (24, 32)})
    pipeline = [{**step, "type": f"mmpose.{step['type']}"} for step in (*steps, {"type": "PackPoseInputs"})]
    files = {key: coco[key] for key in ("ann_file", "data_prefix")}
    return DATASETS.build({"type": "mmpose.CocoDataset", "pipeline": pipeline, **files})


@pytest.mark.filterwarnings("ignore:The metainfo config file:UserWarning")  # mmpose looks in two places
def test_a_spawned_worker_delivers_what_the_process_itself_would(coco: dict[str, Any]) -> None:
    plain = {**coco, "pipeline": [step for step in coco["pipeline"] if step not in RANDOM_TRANSFORMS]}
    ours = PositionedDataset(coco, seed=7, positions=2 * IMAGES), WrappedDataset(plain)
    dataset = ConcatDataset([poses(coco), *ours])  # in this order: nothing of ours is imported when theirs is unpickled
    options: dict[str, Any] = {"batch_size": None, "num_workers": 1, "multiprocessing_context": "spawn"}
    there = list(DataLoader(dataset, **options))
    here = [dataset[index] for index in range(len(dataset))]
    assert len(there) == len(here) == 4 * IMAGES
    assert all(map(torch.equal, *(map(itemgetter("inputs"), samples) for samples in (there, here))))
    assert all(map(same, there[IMAGES:], here[IMAGES:]))


def test_a_sample_is_a_function_of_seed_and_position(coco: dict[str, Any]) -> None:
    dataset = PositionedDataset(coco, seed=7, positions=2 * IMAGES)
    forwards = [dataset[position] for position in range(len(dataset))]
    backwards = [dataset[position] for position in reversed(range(len(dataset)))][::-1]
    assert all(map(same, forwards, backwards))
    assert [content(sample)[3] for sample in forwards] == list(range(2 * IMAGES))
    other = PositionedDataset(coco, seed=8, positions=2 * IMAGES)
    assert not any(same(sample, other[position]) for position, sample in enumerate(forwards))


def test_every_epoch_shows_every_image_augmented_anew(coco: dict[str, Any]) -> None:
    dataset = PositionedDataset(coco, seed=7, positions=2 * IMAGES)
    pixels, _, paths, _ = zip(*(content(dataset[position]) for position in range(2 * IMAGES)), strict=True)
    assert len(set(paths[:IMAGES])) == len(set(paths[IMAGES:])) == IMAGES
    views = {path: [image for image, seen in zip(pixels, paths, strict=True) if seen == path] for path in paths}
    assert not any(torch.equal(*pair) for pair in views.values())


def test_a_data_set_that_filters_away_everything_is_named(coco: dict[str, Any]) -> None:
    with pytest.raises(MissingData, match=r"truth\.json: after its filters"):
        PositionedDataset({**coco, "filter_cfg": {"min_size": 1000}}, seed=0, positions=1)


def test_class_names_and_palette_are_the_inner_data_sets(coco: dict[str, Any]) -> None:
    wrapped = WrappedDataset(coco)
    assert len(wrapped) == IMAGES
    assert wrapped.metainfo["classes"] == ["thing"]
