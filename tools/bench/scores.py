"""Seconds and memory from files to scores: ours against pycocotools and mmseg, one run.

    python tools/bench/scores.py [--images 5000] [--rounds 3] [--only bbox segm keypoints miou]

Draws a set of COCO val's size (7 objects and 100 detections an image; for keypoints 2 people and 20 detections).
Every measurement is a process of its own; rounds alternate between the ways, so that a busy machine slows all. Prints
medians of the seconds after imports, peak resident MB of the process, ratios, and whether every number is the same
float. The aims: 40 times pycocotools' speed for boxes, 15 for masks and keypoints, at 0.35 of its memory; label maps
10 times mmseg's three torch.histc calls, in one thread, counting the same pixels.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

Array = NDArray[Any]
Measured = dict[str, Any]

HEIGHT, WIDTH = 480, 640
CLASSES = 80
KINDS = ("bbox", "segm", "keypoints")
MAPS = {"512×683, 150 classes": (512, 683, 150), "1024×2048, 19 classes": (1024, 2048, 19)}


def write_files(folder: Path, images: int) -> None:
    """`<kind>-truth.json` and `<kind>-found.json`, two decimals as detectors write them."""
    draw = np.random.default_rng(0)
    listed = [{"id": number, "height": HEIGHT, "width": WIDTH} for number in range(1, images + 1)]
    for kind, classes, objects, found in (
        ("bbox", CLASSES, 7, 100),
        ("segm", CLASSES, 7, 100),
        ("keypoints", 1, 2, 20),
    ):
        truth, detections = draw_set(draw, images, classes, images * objects, images * found)
        {"bbox": lambda *_: None, "segm": add_masks, "keypoints": add_people}[kind](draw, truth, detections)
        categories = [{"id": number, "name": str(number)} for number in range(1, classes + 1)]
        whole = {"images": listed, "categories": categories, "annotations": truth}
        (folder / f"{kind}-truth.json").write_text(json.dumps(whole), encoding="ascii")
        (folder / f"{kind}-found.json").write_text(json.dumps(detections), encoding="ascii")


def draw_set(draw: np.random.Generator, images: int, classes: int, objects: int, found: int) -> tuple[list[Any], ...]:
    """Objects, and detections of which half lie near one; `source` is the object that a detection resembles."""
    boxes, image = draw_boxes(draw, objects), draw.integers(1, images + 1, objects)
    category, crowd = draw.integers(1, classes + 1, objects), draw.random(objects) < 0.01
    truth = [
        {"id": n + 1, "image_id": int(image[n]), "category_id": int(category[n]), "bbox": boxes[n].tolist(),
         "area": float(boxes[n, 2] * boxes[n, 3]), "iscrowd": int(crowd[n])} for n in range(objects)
    ]  # fmt: skip
    source, near = draw.integers(0, objects, found), draw.random(found) < 0.5
    moved = np.round(boxes[source] * draw.normal(1, 0.08, (found, 4)), 2)
    places = np.where(near[:, None], moved, draw_boxes(draw, found))
    labels = np.where(near, category[source], draw.integers(1, classes + 1, found))
    scores = np.round(draw.random(found), 6)
    detections = [
        {"image_id": int(image[source[n]]), "category_id": int(labels[n]), "bbox": places[n].tolist(),
         "score": float(scores[n]), "source": int(source[n])} for n in range(found)
    ]  # fmt: skip
    return truth, detections


def draw_boxes(draw: np.random.Generator, number: int) -> Array:
    """(N, 4) xywh inside the image; small, medium and large ones."""
    sides = np.exp(draw.normal(4.2, 1, (number, 2))).clip(4, 400)
    starts = draw.random((number, 2)) * (np.array([WIDTH, HEIGHT]) - sides)
    return np.round(np.concatenate([starts, sides], axis=1), 2)


def add_masks(draw: np.random.Generator, truth: list[Any], detections: list[Any]) -> None:
    """Polygons for the objects, run lengths for crowds and detections, which have no boxes."""
    found = []
    for target in truth:
        outline, other = (blob(draw, target["bbox"]) for _ in range(2))
        target["segmentation"] = runs(outline) if target["iscrowd"] else [outline]
        found.append(runs(other))
    for number, detection in enumerate(detections):
        del detection["bbox"]
        detection["segmentation"] = found[detection.pop("source") if number % 2 else number % len(found)]


def blob(draw: np.random.Generator, box: Sequence[float]) -> list[float]:
    """A star-shaped polygon of 14 corners in a box."""
    x, y, w, h = box
    angles, radii = np.sort(draw.uniform(0, 2 * np.pi, 14)), draw.uniform(0.7, 1, 14)
    corners = [x + w / 2 * (1 + radii * np.cos(angles)), y + h / 2 * (1 + radii * np.sin(angles))]
    return np.round(np.stack(corners, axis=1).ravel(), 2).tolist()


def runs(outline: list[float]) -> dict[str, Any]:
    """Compressed run lengths, as text."""
    mask = rle.frPyObjects([outline], HEIGHT, WIDTH)[0]
    return {"size": [HEIGHT, WIDTH], "counts": mask["counts"].decode("ascii")}


def add_people(draw: np.random.Generator, truth: list[Any], detections: list[Any]) -> None:
    """Joints for the objects, a third of them not labelled, and joints near those for the detections, without boxes."""
    boxes = np.array([target["bbox"] for target in truth])
    joints = draw.random((len(truth), 17, 2)) * boxes[:, None, 2:] + boxes[:, None, :2]
    flags = draw.integers(0, 3, (len(truth), 17, 1))
    for target, person in zip(truth, np.concatenate([joints.round(), flags], axis=2), strict=True):
        target |= {"keypoints": person.ravel().tolist(), "num_keypoints": int((person[:, 2] > 0).sum())}
    for detection in detections:
        del detection["bbox"]
        source = detection.pop("source")
        place = joints[source] + draw.normal(0, 0.05, (17, 2)) * boxes[source, 2:]
        person = np.concatenate([place, draw.random((17, 1))], axis=1).round(2)
        detection["keypoints"] = person.ravel().tolist()


def measure(way: str, kind: str, folder: Path) -> Measured:
    """Seconds after imports, peak MB of this process, and the numbers."""
    files = folder / f"{kind}-found.json", folder / f"{kind}-truth.json"
    score = {"ours": _ours, "pycocotools": _pycocotools}[way](kind)
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        numbers = score(*files)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak": _peak(), "numbers": numbers}


def _peak() -> float:
    """Most MB that were resident since this program was loaded; `getrusage` would count its parent's."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _ours(kind: str) -> Any:
    from transfer.metrics.boxes import score_boxes
    from transfer.metrics.keypoints import score_keypoints
    from transfer.metrics.masks import score_masks

    score = {"bbox": score_boxes, "segm": score_masks, "keypoints": score_keypoints}[kind]
    return lambda found, truth: list(score(found, truth).values())


def _pycocotools(kind: str) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def score(found: Path, truth: Path) -> list[float]:
        known = COCO(str(truth))
        evaluation = COCOeval(known, known.loadRes(str(found)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return [float(value) for value in evaluation.stats]

    return score


def compare(kind: str, folder: Path, rounds: int) -> None:
    """Both ways once per round, each in a process of its own; then a line for each."""
    results: dict[str, list[Measured]] = {"pycocotools": [], "ours": []}
    for _ in range(rounds):
        for way, runs_ in results.items():
            command = [sys.executable, __file__, "--measure", way, kind, str(folder)]
            runs_.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    report(kind, results)


def report(kind: str, results: Mapping[str, Sequence[Measured]]) -> None:
    """Medians, and how they compare with pycocotools'."""
    seconds, peaks = (
        {way: statistics.median(run[key] for run in each) for way, each in results.items()}
        for key in ("seconds", "peak")
    )
    same = len({tuple(run["numbers"]) for each in results.values() for run in each}) == 1
    for way in results:
        faster, share = seconds["pycocotools"] / seconds[way], peaks[way] / peaks["pycocotools"]
        print(
            f"{kind:10} {way:12} {seconds[way]:8.2f} s {faster:6.1f}x {peaks[way]:8.0f} MB {share:5.2f}  "
            f"{'every number ==' if same else 'NUMBERS DIFFER'}",
            flush=True,
        )


def compare_maps(rounds: int) -> None:
    """Counting two label maps in memory, one thread, against mmseg's own function."""
    import torch
    from mmseg.evaluation.metrics.iou_metric import IoUMetric

    from transfer.metrics.label_maps import count_pairs

    torch.set_num_threads(1)
    for name, (height, width, classes) in MAPS.items():
        draw = np.random.default_rng(0)
        blocks = draw.integers(0, classes, (height // 32 + 1, width // 32 + 1))
        truth = np.kron(blocks, np.ones((32, 32), int))[:height, :width].astype(np.uint8)
        found = np.where(draw.random(truth.shape) < 0.2, draw.integers(0, classes, truth.shape), truth).astype(np.uint8)
        truth[draw.random(truth.shape) < 0.03] = 255
        tensors = torch.from_numpy(found).long(), torch.from_numpy(truth).long()
        times: dict[str, list[float]] = {"mmseg": [], "ours": []}
        for _ in range(10 * rounds):
            start = time.perf_counter()
            theirs = IoUMetric.intersect_and_union(*tensors, classes, 255)
            middle = time.perf_counter()
            pairs = count_pairs(truth, found)
            times["ours"].append(time.perf_counter() - middle)
            times["mmseg"].append(middle - start)
        same = pairs.diagonal()[:classes].tolist() == theirs[0].tolist()
        medians = {way: statistics.median(each) for way, each in times.items()}
        for way, median in medians.items():
            print(f"{name:24} {way:8} {1e3 * median:8.2f} ms {medians['mmseg'] / median:6.1f}x  counts equal: {same}")


def main() -> None:
    """Draw, alternate, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=(*KINDS, "miou"), default=[*KINDS, "miou"])
    parser.add_argument(
        "--measure", nargs=3, metavar=("WAY", "KIND", "FOLDER"), help="one measurement, in this process"
    )
    options = parser.parse_args()
    if options.measure:
        way, kind, folder = options.measure
        print(json.dumps(measure(way, kind, Path(folder))))
        return
    kinds = [kind for kind in KINDS if kind in options.only]
    if kinds:
        with tempfile.TemporaryDirectory() as name:
            write_files(Path(name), options.images)
            os.sync()
            for kind in kinds:
                compare(kind, Path(name), options.rounds)
    if "miou" in options.only:
        compare_maps(options.rounds)


if __name__ == "__main__":
    main()
