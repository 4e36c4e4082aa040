from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from transfer.datasets.mini import generate
from transfer.datasets.mini.classes import CATEGORY_IDS, JOINTS, OBJECTS, SEMANTIC_CLASSES
from transfer.datasets.mini.generate import COUNTS, MARKER, content_hash, generate_mini
from transfer.datasets.mini.scene import SIZE, draw_scene
from transfer.errors import BadOption

SPLITS = tuple(COUNTS)

PIXELS = "0f33701a45edb13bbcaa62e83068703eb8dc992ad76b612c3d05cd88eea5a9f6"
"""SHA-256 of the first four training scenes of version 1, before any compression."""


def _json(root: Path, name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((root / "annotations" / name).read_text())
    return data


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set of three images, where only the writing is tested."""
    monkeypatch.setattr(generate, "COUNTS", {"train2017": 2, "val2017": 1})


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
    "name, kind", [("instances", "bbox"), ("instances", "segm"), ("person_keypoints", "keypoints")]
)
def test_truth_as_detections_scores_one(mini_root: Path, split: str, name: str, kind: str) -> None:
    path = mini_root / "annotations" / f"{name}_{split}.json"
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        found = truth.loadRes([{**entry, "score": 1.0} for entry in truth.dataset["annotations"]])
        scores = COCOeval(truth, found, kind)
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
    assert scores.stats[0] == pytest.approx(1.0)


@pytest.mark.parametrize("split", SPLITS)
def test_every_class_and_region_occurs_often(mini_root: Path, split: str) -> None:
    annotations = _json(mini_root, f"instances_{split}.json")["annotations"]
    for id in CATEGORY_IDS:
        assert sum(entry["category_id"] == id for entry in annotations) >= COUNTS[split] // 4
    maps = [np.asarray(Image.open(path)) for path in (mini_root / "stuffthingmaps" / split).glob("*.png")]
    assert len(maps) == COUNTS[split]
    for label in range(len(SEMANTIC_CLASSES)):
        assert sum(bool((labels == label).any()) for labels in maps) >= COUNTS[split] // 5


@pytest.mark.parametrize("split", SPLITS)
def test_boxes_masks_and_label_maps_agree(mini_root: Path, split: str) -> None:
    data = _json(mini_root, f"instances_{split}.json")
    by_image = defaultdict(list)
    for entry in data["annotations"]:
        by_image[entry["image_id"]].append(entry)
    for image in data["images"]:
        labels = np.asarray(Image.open(mini_root / "stuffthingmaps" / split / image["file_name"].replace("jpg", "png")))
        for entry in by_image[image["id"]]:
            code = coco_mask.merge(coco_mask.frPyObjects(entry["segmentation"], SIZE, SIZE))
            assert coco_mask.toBbox(code).tolist() == entry["bbox"]
            assert coco_mask.area(code) == pytest.approx(entry["area"])
            label = 1 + CATEGORY_IDS.index(entry["category_id"])
            assert (labels[coco_mask.decode(code) > 0] == label).mean() > 0.4


@pytest.mark.parametrize("split", SPLITS)
def test_joints_lie_on_their_person(mini_root: Path, split: str) -> None:
    data = _json(mini_root, f"person_keypoints_{split}.json")
    assert data["categories"][0]["keypoints"] == list(JOINTS)
    on_body = []
    for entry in data["annotations"]:
        joints = np.array(entry["keypoints"]).reshape(17, 3)
        assert entry["num_keypoints"] == (joints[:, 2] > 0).sum()
        assert (joints[joints[:, 2] == 0] == 0).all()
        mask = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(entry["segmentation"], SIZE, SIZE)))
        seen = joints[joints[:, 2] == 2]
        on_body += mask[seen[:, 1].astype(int), seen[:, 0].astype(int)].tolist()
    assert np.mean(on_body) > 0.97  # ears stand at the head's edge, which a pixel may cut off


@pytest.mark.parametrize("split", SPLITS)
def test_scenes_are_cluttered_occluded_and_of_all_sizes(mini_root: Path, split: str) -> None:
    entries = _json(mini_root, f"person_keypoints_{split}.json")["annotations"]
    visibility = np.array([entry["keypoints"][2::3] for entry in entries])
    assert 0.03 < (visibility == 1).mean() < 0.3
    assert (visibility == 2).mean() > 0.6
    boxes = np.array([entry["bbox"][2:] for entry in _json(mini_root, f"instances_{split}.json")["annotations"]])
    longest = boxes.max(1)
    assert np.percentile(longest, 5) < 30 and np.percentile(longest, 90) > 65


def test_a_scene_depends_on_its_name_alone() -> None:
    first, again, other = draw_scene(3, "val2017", 1), draw_scene(3, "val2017", 1), draw_scene(4, "val2017", 1)
    assert (first.image == again.image).all() and (first.labels == again.labels).all()
    assert (first.image != other.image).any()
    assert {instance.name for instance in first.instances} <= set(OBJECTS)


def test_the_drawing_has_not_changed() -> None:
    """Other pixels are another data set: raise VERSION, then put the new hash here."""
    digest = hashlib.sha256()
    for index in range(4):
        scene = draw_scene(0, "train2017", index)
        digest.update(scene.image.tobytes() + scene.labels.tobytes())
    assert (generate.VERSION, digest.hexdigest()) == (1, PIXELS)


@pytest.mark.usefixtures("quick")
def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        generate_mini(tmp_path / name, seed)
    assert content_hash(tmp_path / "a") == content_hash(tmp_path / "b") != content_hash(tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


@pytest.mark.usefixtures("quick")
def test_a_finished_folder_is_left_alone(tmp_path: Path) -> None:
    generate_mini(tmp_path / "mini")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "mini").rglob("*")}
    generate_mini(tmp_path / "mini")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "mini").rglob("*")} == before


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("damage", ["delete", "truncate", "add", "marker", "seed"])
def test_a_damaged_folder_is_drawn_again(tmp_path: Path, damage: str) -> None:
    root = tmp_path / "mini"
    generate_mini(root, 1 if damage == "seed" else 0)
    image = root / "train2017" / "000000000001.jpg"
    {
        "delete": lambda: image.unlink(),
        "truncate": lambda: image.write_bytes(image.read_bytes()[:100]),
        "add": lambda: shutil.copy(image, image.with_name("000000000099.jpg")),
        "marker": lambda: (root / MARKER).write_text('{"dataset": '),
        "seed": lambda: None,
    }[damage]()
    generate_mini(root)
    generate_mini(tmp_path / "fresh")
    assert content_hash(root) == content_hash(tmp_path / "fresh")


@pytest.mark.usefixtures("quick")
def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(generate, "_write_annotations", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate_mini(tmp_path / "mini")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    with pytest.raises(BadOption, match="holds something else"):
        generate_mini(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["annotations"]
