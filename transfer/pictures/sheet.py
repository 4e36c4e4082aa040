"""Contact sheets: truth beside prediction, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

MARGIN, LINE, GROUND, INK = 8, 18, (255, 255, 255), (20, 20, 20)


@dataclass(frozen=True)
class Pair:
    """An image with its truth and the same with the predictions, drawn at one size, and what stands above them."""

    caption: str
    truth: Image.Image
    prediction: Image.Image


def contact_sheet(title: str, rows: Sequence[Sequence[Pair]]) -> Image.Image:
    """All pairs under `title`, row by row; every cell has the size of the largest image."""
    images = [image for row in rows for pair in row for image in (pair.truth, pair.prediction)]
    width, height = (max(image.size[axis] for image in images) for axis in (0, 1))
    cell = 2 * width + 3 * MARGIN, height + LINE + MARGIN
    columns = max(map(len, rows))
    sheet = Image.new("RGB", (columns * cell[0], LINE + 2 * MARGIN + len(rows) * cell[1]), GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, fill=INK, font=ImageFont.load_default(14))
    for y, row in enumerate(rows):
        for x, pair in enumerate(row):
            left, top = x * cell[0] + MARGIN, LINE + 2 * MARGIN + y * cell[1]
            draw.text((left, top), _fitting(draw, pair.caption, 2 * width), fill=INK, font=ImageFont.load_default(12))
            sheet.paste(pair.truth, (left, top + LINE))
            sheet.paste(pair.prediction, (left + width + MARGIN, top + LINE))
    return sheet


def _fitting(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    font = ImageFont.load_default(12)
    while len(text) > 1 and draw.textlength(text, font) > width:
        text = text[:-2] + "…"
    return text
