"""A finished run → show.png (truth beside predictions) and curves.png."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transfer.dedup.decoding import FORMATS
from transfer.errors import BadOption, MissingData, RunError
from transfer.files.atomic import replacing
from transfer.metrics.agreement import agree_on_labels, agree_on_objects, decode_mask, surest, to_find
from transfer.openmmlab.resolved import holds_config, load_config, read_config
from transfer.pictures.curves import plot_run
from transfer.pictures.drawing import colour, draw_boxes, draw_joints, draw_labels, draw_masks, fit_image
from transfer.pictures.sheet import Pair, contact_sheet
from transfer.schemas.run import RunSpec
from transfer.schemas.suite import Task

SIDE = 360
"""Longest side of a shown image, pixels."""

LEAST_JOINT_SCORE = 0.2


@dataclass(frozen=True)
class _Test:
    """A test image: how well its predictions agree with the truth, and how to draw the two."""

    name: str
    agreement: float
    draw: Callable[[str], Pair]


def show(folder: Path, output: Path, images: int = 3) -> str:
    """Draw the `images` best, median and worst test images of the run in `folder` to `output` (PNG); its curves beside.

    Returns what was written, as text. Raises RunError for a folder without a finished run.
    """
    run, task, config, predictions = _open(folder)
    found = _label_maps(config, predictions) if task.kind == "miou" else _objects(config, predictions, task.kind)
    tests = sorted(found, key=_order)
    rows = [[test.draw(f"{what} · {test.agreement:.2f} · {test.name}") for test in part] for what, part in
            _parts(tests, images)]  # fmt: skip
    title = f"{run.checkpoint} · {run.suite} {run.task} seed {run.seed} · left: truth, right: predictions"
    with replacing(output) as temporary:
        contact_sheet(title, rows, _legend(config, task)).save(temporary, format="PNG")
    curves = output.with_name(f"{output.stem}_curves.png")
    _plot(folder, run, task, curves)
    return f"wrote {output} ({sum(map(len, rows))} of {len(tests)} test images) and {curves}"


def _open(folder: Path) -> tuple[RunSpec, Task, Any, Path]:
    found = [folder / "predictions.json", folder / "predictions"]
    predictions = next((path for path in found if path.exists()), None)
    finished = predictions is not None and (folder / "run.json").exists() and (folder / "scores.json").exists()
    if predictions is None or not (finished and holds_config(folder / "config.json")):
        raise RunError(
            f"{folder} holds no finished run: expected run.json, config.json, predictions and scores.json there. "
            "Name a run's folder below work_dirs; an unfinished run goes on with the `transfer eval` that began it."
        )
    said = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    if said.get("task") is None:
        raise RunError(f"{folder} was made by an earlier version of this program. Run it again to look at it.")
    run, task = RunSpec.from_json(said["run"]), Task(**{**said["task"], "scores": tuple(said["task"]["scores"])})
    config = folder / "config.json"
    return run, task, load_config(config) if run.size else read_config(config), predictions


def _order(test: _Test) -> tuple[float, str]:
    return -test.agreement, test.name


def _parts(tests: Sequence[_Test], images: int) -> list[tuple[str, Sequence[_Test]]]:
    """The best, those in the middle, the worst: no image twice."""
    if not tests:
        raise RunError("none of the run's test images shows anything to find, so there is nothing to show.")
    if images < 1:
        raise BadOption(f"--images must be at least 1, not {images}.")
    best, others = tests[:images], tests[images:]
    worst = others[max(0, len(others) - images) :]
    middle = others[: len(others) - len(worst)]
    start = max(0, (len(middle) - images) // 2)
    parts = [("best", best), ("median", middle[start : start + images]), ("worst", worst)]
    return [(what, part) for what, part in parts if part]


def _legend(config: Any, task: Task) -> list[tuple[str, tuple[int, int, int]]]:
    """Of label maps: boxes carry their names, joints have none."""
    if task.kind != "miou":
        return []
    return [(name, colour(index)) for index, name in enumerate(config.test_dataloader.dataset.dataset.metainfo.classes)]


def _label_maps(config: Any, predictions: Path) -> list[_Test]:
    dataset = config.test_dataloader.dataset.dataset
    images, truth = (Path(dataset.data_prefix[key]) for key in ("img_path", "seg_map_path"))
    suffix = dataset.get("img_suffix", ".jpg")
    return [_label_map(images / f"{path.stem}{suffix}", truth / path.name, path) for path in predictions.glob("*.png")]


def _label_map(image: Path, truth: Path, prediction: Path) -> _Test:
    agreement = agree_on_labels(_read_labels(truth), _read_labels(prediction))
    return _Test(image.name, agreement, partial(_draw_label_maps, image, truth, prediction))


def _draw_label_maps(image: Path, truth: Path, prediction: Path, caption: str) -> Pair:
    shown, _ = fit_image(_open_image(image), SIDE)
    return Pair(caption, *(draw_labels(shown, _read_labels(path)) for path in (truth, prediction)))


def _read_labels(path: Path) -> Any:
    with Image.open(path, formats=FORMATS) as image:
        return np.asarray(image)


def _objects(config: Any, predictions: Path, kind: Any) -> list[_Test]:
    dataset = config.test_dataloader.dataset.dataset
    truth = json.loads(Path(dataset.ann_file).read_text(encoding="utf-8"))
    objects, found = _by_image(truth["annotations"]), _by_image(json.loads(predictions.read_text(encoding="utf-8")))
    tests = []
    for image in truth["images"]:
        if wanted := to_find(objects[image["id"]], kind):
            size = image["height"], image["width"]
            agreement = agree_on_objects(wanted, found[image["id"]], kind, size)
            entries = wanted, surest(found[image["id"]], len(wanted))
            path = Path(dataset.data_prefix["img"]) / image["file_name"]
            draw = partial(_draw_objects, path, entries, kind, truth["categories"])
            tests.append(_Test(image["file_name"], agreement, draw))
    return tests


def _by_image(entries: Sequence[Mapping[str, Any]]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for entry in entries:
        found[entry["image_id"]].append(entry)
    return found


def _draw_objects(
    path: Path, parts: Sequence[Sequence[Any]], kind: str, categories: Sequence[Mapping[str, Any]], caption: str
) -> Pair:
    original = _open_image(path)
    shown, scale = fit_image(original, SIDE)
    truth, prediction = (_draw_entries(shown.copy(), entries, kind, categories, scale, original) for entries in parts)
    return Pair(caption, truth, prediction)


def _draw_entries(
    image: Image.Image,
    entries: Sequence[Any],
    kind: str,
    categories: Sequence[Mapping[str, Any]],
    scale: float,
    original: Image.Image,
) -> Image.Image:
    names = {category["id"]: category["name"] for category in categories}
    if kind == "keypoints":
        draw_joints(image, entries, categories[0].get("skeleton", ()), scale, LEAST_JOINT_SCORE)
        return image
    if kind == "segm":
        masks = [decode_mask(entry["segmentation"], (original.height, original.width)) for entry in entries]
        image = draw_masks(image, masks, [colour(list(names).index(entry["category_id"])) for entry in entries])
    draw_boxes(image, entries, names, scale)
    return image


def _open_image(path: Path) -> Image.Image:
    if not path.is_file():
        raise MissingData(f"{path}: the run's test image is no longer there. Put the data back where it was.")
    with Image.open(path, formats=FORMATS) as image:
        return image.convert("RGB")


def _plot(folder: Path, run: RunSpec, task: Task, output: Path) -> None:
    lines = (folder / "losses.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [(point["step"], point["loss"]) for point in map(json.loads, lines)]
    path = folder / "score_curve.json"
    curve = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    scores = {name: [(point["step"], point["scores"][name]) for point in curve] for name in task.scores if curve}
    with replacing(output) as temporary:
        plot_run(temporary, f"{run.checkpoint} · {task.title} · seed {run.seed}", losses, scores)
