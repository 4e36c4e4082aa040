"""Writing `mini`: one finished folder in COCO's layout, or none."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from transfer.datasets.mini.classes import BONES, CATEGORY_IDS, JOINTS, OBJECTS, SEMANTIC_CLASSES
from transfer.datasets.mini.contours import outer_polygons, signed_area
from transfer.datasets.mini.scene import SIZE, Instance, Scene, draw_scene
from transfer.errors import BadOption
from transfer.files.atomic import write_json

VERSION = 1
"""Raised by one whenever the drawing changes: other images are another data set."""

MARKER = "mini.json"

COUNTS = {"train2017": 160, "val2017": 64}
"""Images per split."""

FIRST_ID = {"train2017": 1, "val2017": 1001}

QUALITY = 90

Json = dict[str, Any]


def generate_mini(root: Path, seed: int = 0) -> None:
    """Make `root` the data set `mini` of `seed`: `root/annotations`, `train2017`, `val2017`, `stuffthingmaps`.

    The same seed gives the same bytes. A finished folder is left alone, a damaged one is drawn again; a folder that
    holds anything else raises BadOption.
    """
    if _finished(root, seed):
        return
    if root.exists() and not (root / MARKER).exists() and (not root.is_dir() or any(root.iterdir())):
        raise BadOption(f"{root} holds something else than `mini`; name an empty or new folder for it.")
    root.parent.mkdir(parents=True, exist_ok=True)
    temporary = root.with_name(f".{root.name}.{os.getpid()}.tmp")
    try:
        _write(temporary, seed)
        _replace(root, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _finished(root: Path, seed: int) -> bool:
    """Whether the marker of this version and seed is there, and the files are those it was written for."""
    try:
        marker = json.loads((root / MARKER).read_text(encoding="utf-8"))
        return bool(marker == _marker(root, seed))
    except (OSError, ValueError):
        return False


def _marker(root: Path, seed: int) -> Json:
    return {"dataset": "mini", "version": VERSION, "seed": seed, "sha256": content_hash(root)}


def content_hash(root: Path) -> str:
    """SHA-256 over names and bytes of every file below `root`, except the marker."""
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file() and path.name != MARKER):
        name = path.relative_to(root).as_posix()
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _replace(root: Path, temporary: Path) -> None:
    if root.exists():
        old = root.with_name(f".{root.name}.{os.getpid()}.old")
        root.rename(old)
        shutil.rmtree(old)
    temporary.rename(root)


def _write(root: Path, seed: int) -> None:
    (root / "annotations").mkdir(parents=True)
    for split, count in COUNTS.items():
        scenes = {FIRST_ID[split] + index: draw_scene(seed, split, index) for index in range(count)}
        _write_images(root, split, scenes)
        _write_annotations(root / "annotations", split, scenes)
    write_json(root / MARKER, _marker(root, seed))


def _write_images(root: Path, split: str, scenes: dict[int, Scene]) -> None:
    images, maps = root / split, root / "stuffthingmaps" / split
    images.mkdir(parents=True)
    maps.mkdir(parents=True)
    for image_id, scene in scenes.items():
        Image.fromarray(scene.image).save(images / f"{image_id:012d}.jpg", quality=QUALITY)
        Image.fromarray(scene.labels).save(maps / f"{image_id:012d}.png")


def _write_annotations(folder: Path, split: str, scenes: dict[int, Scene]) -> None:
    entries = list(_annotations(scenes))
    instances = [{key: value for key, value in entry.items() if "keypoints" not in key} for entry in entries]
    persons = [entry for entry in entries if "keypoints" in entry]
    categories = [_category(*pair) for pair in zip(CATEGORY_IDS, OBJECTS, strict=True)]
    _write_coco(folder / f"instances_{split}.json", scenes, categories, instances)
    skeleton = [[JOINTS.index(start) + 1, JOINTS.index(end) + 1] for start, end in BONES]
    person = {**categories[0], "keypoints": list(JOINTS), "skeleton": skeleton}
    _write_coco(folder / f"person_keypoints_{split}.json", scenes, [person], persons)


def _write_coco(path: Path, scenes: dict[int, Scene], categories: list[Json], annotations: list[Json]) -> None:
    about = {"description": "mini: drawn from a seed", "version": str(VERSION), "classes": list(SEMANTIC_CLASSES)}
    images = [{"id": id, "file_name": f"{id:012d}.jpg", "width": SIZE, "height": SIZE} for id in scenes]
    path.write_text(
        json.dumps({"info": about, "images": images, "annotations": annotations, "categories": categories}),
        encoding="utf-8",
    )


def _category(id: int, name: str) -> Json:
    return {"id": id, "name": name, "supercategory": "person" if name == "person" else "object"}


def _annotations(scenes: dict[int, Scene]) -> Iterator[Json]:
    id = 0
    for image_id, scene in scenes.items():
        for instance in scene.instances:
            id += 1
            yield {"id": id, "image_id": image_id, "iscrowd": 0} | _geometry(instance)


def _geometry(instance: Instance) -> Json:
    polygons = outer_polygons(instance.mask)
    points = [point for polygon in polygons for point in polygon]
    (left, top), (right, bottom) = (map(pick, zip(*points, strict=True)) for pick in (min, max))
    geometry: Json = {
        "category_id": CATEGORY_IDS[OBJECTS.index(instance.name)],
        "bbox": [left, top, right - left, bottom - top],
        "area": sum(signed_area(polygon) for polygon in polygons),
        "segmentation": [[value for point in polygon for value in point] for polygon in polygons],
    }
    if instance.joints:
        geometry["keypoints"] = [value for joint in instance.joints for value in joint]
        geometry["num_keypoints"] = sum(visibility > 0 for *_, visibility in instance.joints)
    return geometry
