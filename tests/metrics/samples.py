"""Small test sets with something of everything that metrics look at."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image
from pycocotools import mask as rle

SIDE = 120
CLASSES = ("sky", "road", "car")


def name_of(image):
    return f"{image:02}.jpg"


def box_around(draw):
    return [draw.uniform(0, 40), draw.uniform(0, 40), draw.uniform(10, 70), draw.uniform(10, 70)]


def mask_of(box):
    x, y, w, h = box
    corners = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    return {"size": [SIDE, SIDE], "counts": rle.frPyObjects(corners, SIDE, SIDE)[0]["counts"].decode()}


def joints_of(box, shift, flag):
    x, y, w, h = box
    return [value for joint in range(17) for value in (x + w * joint / 16 + shift, y + h * (joint % 5) / 5, flag)]


def sample_set(seed=0, images=8, ties=False, noise=lambda image: 0.1 if image % 3 else 0.02):
    """Truth and results that hold what every kind reads: some objects are found well, twice, badly or not at all.

    `noise` of an image moves its predictions, as a share of their size.
    """
    draw = random.Random(seed)
    objects, found = [], []
    for image in range(1, images + 1):
        for _ in range(draw.randint(1, 4)):
            place = {"image_id": image, "category_id": draw.choice([2, 5])}
            box, rare = box_around(draw), int(draw.random() < 0.15)
            flags = {"iscrowd": rare, "difficult": rare, "num_keypoints": 17, "keypoints": joints_of(box, 0, 2)}
            objects.append(place | flags | {"bbox": box, "segmentation": mask_of(box), "area": box[2] * box[3]})
            for _ in range(draw.choice([0, 1, 1, 2])):
                moved = [
                    value + draw.gauss(0, noise(image)) * side for value, side in zip(box, box[2:] * 2, strict=True)
                ]
                moved[2:] = [max(value, 4) for value in moved[2:]]
                found.append(place | {"bbox": moved})
        found.append({"image_id": image, "category_id": draw.choice([2, 5]), "bbox": box_around(draw)})
    for entry in found:
        entry["score"] = draw.choice([0.2, 0.5, 0.9]) if ties else draw.random()
        entry["segmentation"] = mask_of(entry["bbox"])
        entry["keypoints"] = joints_of(entry["bbox"], draw.gauss(0, 1), 1)
    images = [{"id": n, "file_name": name_of(n), "height": SIDE, "width": SIDE} for n in range(1, images + 1)]
    numbered = [{**entry, "id": number} for number, entry in enumerate(objects, start=1)]
    categories = [{"id": 5, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 9, "name": "absent"}]
    return {"images": images, "categories": categories, "annotations": numbered}, found


def write_maps(folder, pairs):
    """Predictions and truth `<stem>.png` of a dict of label map pairs."""
    for kind, which in (("found", 0), ("truth", 1)):
        (folder / kind).mkdir(parents=True)
        for stem, pair in pairs.items():
            Image.fromarray(pair[which]).save(folder / kind / f"{stem}.png")
    return folder / "found", folder / "truth"


def random_maps(seed=0, images=6):
    """Maps of three classes and of pixels to ignore, half of them predicted at random."""
    draw, pairs = np.random.default_rng(seed), {}
    for number in range(images):
        truth = draw.choice([0, 1, 2, 255], (9, 7)).astype(np.uint8)
        guess = draw.integers(0, 3, truth.shape).astype(np.uint8)
        pairs[f"{number:02}"] = np.where((truth < 255) & (draw.random(truth.shape) < 0.5), truth, guess), truth
    return pairs


def block_maps(seed=0, images=4):
    """Maps of 120 × 90 pixels of which one in ten is to ignore; predicted contours are off by a few pixels."""
    draw, pairs = np.random.default_rng(seed), {}
    for number in range(images):
        blocks = draw.choice([0, 1, 2, 255], (4, 3), p=[0.3, 0.3, 0.3, 0.1]).astype(np.uint8)
        truth = np.kron(blocks, np.ones((30, 30), np.uint8))
        guess = np.where(truth == 255, 0, truth)
        shifted = np.roll(guess, draw.integers(-4, 5, 2), (0, 1))
        pairs[f"{number:02}"] = np.where(draw.random(blocks.shape).repeat(30, 0).repeat(30, 1) < 0.8, shifted, 1), truth
    return {stem: (found.astype(np.uint8), truth) for stem, (found, truth) in pairs.items()}
