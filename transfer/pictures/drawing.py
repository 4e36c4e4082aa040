"""Draw boxes, masks, joints and label maps over an image."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Entry = Mapping[str, Any]
Colour = tuple[int, int, int]

GOLDEN = 0.618033988749895
"""Steps of this share of the colour circle never come close to an earlier one."""

STRENGTH = 0.55
"""Share of a mask's or label's colour in what covers the image."""


def colour(index: int) -> Colour:
    """Return a colour for class `index`, unlike those of its neighbours."""
    red, green, blue = colorsys.hsv_to_rgb(
        index * GOLDEN % 1, 0.75 if index % 2 else 0.95, 1.0 - 0.25 * (index % 3 == 2)
    )
    return round(255 * red), round(255 * green), round(255 * blue)


def fit_image(image: Image.Image, side: int) -> tuple[Image.Image, float]:
    """Return `image` in RGB with a longest side of `side` pixels, at most enlarged by two, and the scale."""
    scale = min(2.0, side / max(image.size))
    size = tuple(max(1, round(length * scale)) for length in image.size)
    return image.convert("RGB").resize(size, Image.Resampling.BILINEAR), scale  # type: ignore[arg-type]


def draw_boxes(image: Image.Image, entries: Sequence[Entry], names: Mapping[int, str], scale: float) -> None:
    """Draw `bbox` (x, y, width, height in unscaled pixels) of each entry, with its category's name and its score."""
    draw = ImageDraw.Draw(image)
    for entry in entries:
        x, y, width, height = (value * scale for value in entry["bbox"])
        shade = colour(_position(entry, names))
        draw.rectangle((x, y, max(x, x + width - 1), max(y, y + height - 1)), outline=shade, width=2)
        _write(draw, (x, y), _caption(entry, names), shade)


def draw_masks(image: Image.Image, masks: Sequence[NDArray[np.uint8]], colours: Sequence[Colour]) -> Image.Image:
    """Draw `(H, W)` masks of any size, stretched over the image, each in its colour."""
    pixels = np.asarray(image, np.float32)
    for mask, shade in zip(masks, colours, strict=True):
        covered = np.asarray(Image.fromarray(mask * 255).resize(image.size, Image.Resampling.NEAREST)) > 0
        pixels = np.where(covered[..., None], _blend(pixels, np.asarray(shade, np.float32)), pixels)
    return Image.fromarray(pixels.round().astype(np.uint8))


def draw_labels(image: Image.Image, labels: NDArray[np.uint8], ignore: int = 255) -> Image.Image:
    """Draw an `(H, W)` label map, stretched over the image; pixels of `ignore` stay as they are."""
    stretched = np.asarray(Image.fromarray(labels).resize(image.size, Image.Resampling.NEAREST))
    palette = np.array([colour(index) for index in range(256)], np.float32)
    pixels = np.asarray(image, np.float32)
    shown = np.where((stretched != ignore)[..., None], _blend(pixels, palette[stretched]), pixels)
    return Image.fromarray(shown.round().astype(np.uint8))


def draw_joints(
    image: Image.Image, entries: Sequence[Entry], skeleton: Sequence[tuple[int, int]], scale: float, least: float
) -> None:
    """Draw `keypoints` 17 × (x, y, value) of each person: joints of values above `least`, and bones between them.

    `skeleton` holds pairs of joint numbers from 1, as COCO's annotation files do.
    """
    draw = ImageDraw.Draw(image)
    for index, entry in enumerate(entries):
        values = entry["keypoints"]
        joints = [(x * scale, y * scale, value) for x, y, value in zip(*(values[k::3] for k in range(3)), strict=True)]
        for first, second in skeleton:
            ends = joints[first - 1], joints[second - 1]
            if all(end[2] > least for end in ends):
                draw.line([end[:2] for end in ends], fill=colour(index), width=2)
        for x, y, value in joints:
            if value > least:
                draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour(index), outline=(255, 255, 255))


def _blend(pixels: NDArray[np.float32], shade: NDArray[np.float32]) -> NDArray[np.float32]:
    return (1 - STRENGTH) * pixels + STRENGTH * shade


def _position(entry: Entry, names: Mapping[int, str]) -> int:
    return list(names).index(entry["category_id"])


def _caption(entry: Entry, names: Mapping[int, str]) -> str:
    name = names[entry["category_id"]]
    return f"{name} {entry['score']:.2f}" if "score" in entry else name


def _write(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, ground: Colour) -> None:
    font = ImageFont.load_default(10)
    draw.rectangle(draw.textbbox(place, text, font), fill=ground)
    draw.text(place, text, fill=(0, 0, 0) if sum(ground) > 380 else (255, 255, 255), font=font)
