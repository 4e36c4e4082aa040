"""Lay out contact sheets: truth next to prediction, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

MARGIN, LINE, GROUND, INK = 8, 18, (255, 255, 255), (20, 20, 20)

Legend = Sequence[tuple[str, tuple[int, int, int]]]
"""Names and their colours."""


@dataclass(frozen=True)
class Pair:
    """An image with its truth and the same with the predictions, drawn at one size, and what stands above them."""

    caption: str
    truth: Image.Image
    prediction: Image.Image


def contact_sheet(title: str, rows: Sequence[Sequence[Pair]], legend: Legend = ()) -> Image.Image:
    """Lay out all pairs under `title` and what the colours mean; every cell has the size of the largest image."""
    images = [image for row in rows for pair in row for image in (pair.truth, pair.prediction)]
    width, height = (max(image.size[axis] for image in images) for axis in (0, 1))
    cell = 2 * width + 3 * MARGIN, height + LINE + MARGIN
    columns = max(map(len, rows))
    places = _places(legend, columns * cell[0])
    head = LINE + 2 * MARGIN + (places[-1][1] + LINE if places else 0)
    sheet = Image.new("RGB", (columns * cell[0], head + len(rows) * cell[1]), GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, fill=INK, font=ImageFont.load_default(14))
    for (name, shade), (left, down) in zip(legend, places, strict=True):
        top = LINE + 2 * MARGIN + down
        draw.rectangle((left, top, left + 10, top + 10), fill=shade)
        draw.text((left + 14, top - 2), name, fill=INK, font=ImageFont.load_default(12))
    for y, row in enumerate(rows):
        for x, pair in enumerate(row):
            left, top = x * cell[0] + MARGIN, head + y * cell[1]
            draw.text((left, top), _fitting(draw, pair.caption, 2 * width), fill=INK, font=ImageFont.load_default(12))
            sheet.paste(pair.truth, (left, top + LINE))
            sheet.paste(pair.prediction, (left + width + MARGIN, top + LINE))
    return sheet


def _places(legend: Legend, width: int) -> list[tuple[int, int]]:
    """Return left and top of each entry below the title, in lines of at most `width` pixels."""
    font, places, left, top = ImageFont.load_default(12), [], MARGIN, 0
    for name, _ in legend:
        length = round(font.getlength(name)) + 14 + 2 * MARGIN
        if left > MARGIN and left + length > width:
            left, top = MARGIN, top + LINE
        places.append((left, top))
        left += length
    return places


def _fitting(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    font = ImageFont.load_default(12)
    while len(text) > 1 and draw.textlength(text, font) > width:
        text = text[:-2] + "…"
    return text
