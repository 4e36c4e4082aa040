"""What stands where a reader of the documents tries their commands: checkpoint, images, predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.models import resnet18


def save_checkpoint(here: Path) -> None:
    torch.save(resnet18().state_dict(), here / "ckpt.pth")


def draw_images(here: Path) -> None:
    """Some photographs of nothing, and a list of them."""
    (here / "images").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(pixels).resize((160, 120)).save(here / "images" / f"{number}.jpg")
    (here / "list.txt").write_text("images/0.jpg\nimages/2.jpg\n", encoding="utf-8")


def write_predictions(here: Path) -> None:
    """Of boxes, masks and people in one file; of label maps those of the street as their own prediction."""
    entry = {
        "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 8], "segmentation": {"size": [8, 8], "counts": [0, 32, 32]},
        "keypoints": [4, 4, 2] * 17,
    }  # fmt: skip
    target = {**entry, "id": 1, "num_keypoints": 17, "area": 32, "iscrowd": 0, "difficult": 0}
    image, category = {"id": 1, "height": 8, "width": 8}, {"id": 1, "name": "person"}
    truth = {"images": [image], "categories": [category], "annotations": [target]}
    (here / "truth.json").write_text(json.dumps(truth), encoding="utf-8")
    (here / "predictions.json").write_text(json.dumps([{**entry, "score": 0.5}]), encoding="utf-8")
    for folder in ("predicted", "masks"):
        (here / folder).mkdir()
        Image.new("L", (8, 8), 3).save(here / folder / "street.png")
