"""How a photograph is altered where copies of it turn up: cut, compressed, scaled, turned, coloured, written over."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Picture = Image.Image
Change = Callable[[Picture, np.random.Generator], Picture]
Encode = Callable[[Picture], bytes]


def crop(image: Picture, draw: np.random.Generator, percent: float) -> Picture:
    """A window of the image's shape, anywhere in it, that keeps so much of its area."""
    sides = [max(1, round(side * (percent / 100) ** 0.5)) for side in image.size]
    left, top = (int(draw.integers(0, whole - part + 1)) for whole, part in zip(image.size, sides, strict=True))
    return image.crop((left, top, left + sides[0], top + sides[1]))


def resize(image: Picture, draw: np.random.Generator, across: float, down: float) -> Picture:
    """Stretched by two factors."""
    return image.resize((round(image.width * across), round(image.height * down)), Image.Resampling.BICUBIC)


def blur(image: Picture, draw: np.random.Generator, pixels: float) -> Picture:
    """Under a Gaussian filter."""
    return image.filter(ImageFilter.GaussianBlur(pixels))


def noise(image: Picture, draw: np.random.Generator, levels: float) -> Picture:
    """With Gaussian noise on every channel."""
    noisy = np.asarray(image, np.float32) + draw.normal(0, levels, (image.height, image.width, 3))
    return Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))


def rotate(image: Picture, draw: np.random.Generator, degrees: int) -> Picture:
    """Anticlockwise; right angles are exact, others leave black corners."""
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=degrees % 90 == 0)


def flip(image: Picture, draw: np.random.Generator) -> Picture:
    """Left to right."""
    return ImageOps.mirror(image)


def grey(image: Picture, draw: np.random.Generator) -> Picture:
    """Without colour."""
    return image.convert("L").convert("RGB")


def enhance(image: Picture, draw: np.random.Generator, what: Callable[[Picture], Any], factor: float) -> Picture:
    """Pillow's brightness, contrast or saturation times a factor."""
    enhanced: Picture = what(image).enhance(factor)
    return enhanced


def hue(image: Picture, draw: np.random.Generator, degrees: float) -> Picture:
    """Colours turned around the circle."""
    channels = np.array(image.convert("HSV"))
    channels[..., 0] += np.uint8(round(degrees / 360 * 256))
    return Image.fromarray(channels, "HSV").convert("RGB")


def border(image: Picture, draw: np.random.Generator, percent: float, down_only: bool = False) -> Picture:
    """A white frame of so much of each side, on every side; or black bars above and below."""
    across, down = (round(side * percent / 100) for side in image.size)
    return ImageOps.expand(image, (0 if down_only else across, down), "black" if down_only else "white")


def bar(image: Picture, draw: np.random.Generator) -> Picture:
    """A dark status bar above, as on a telephone."""
    return ImageOps.expand(image, (0, round(image.height * 0.08), 0, 0), (40, 40, 44))


def text(image: Picture, draw: np.random.Generator) -> Picture:
    """A white line of text with a black outline over the whole width, at any height."""
    image, words = image.copy(), "SAMPLE TEXT @someone"
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(100)
    font = ImageFont.load_default(100 * 0.9 * image.width / pen.textlength(words, font))
    place = image.width // 2, image.height * draw.uniform(0.1, 0.9)
    pen.text(place, words, "white", font, "mm", stroke_width=max(1, image.width // 200), stroke_fill="black")
    return image


def logo(image: Picture, draw: np.random.Generator) -> Picture:
    """A red disc with a white ring in one of the corners, a quarter of the shorter side wide."""
    image, side = image.copy(), min(image.size) // 4
    left, top = (int(draw.integers(2)) * (whole - side) for whole in image.size)
    pen = ImageDraw.Draw(image)
    pen.ellipse((left, top, left + side, top + side), "red")
    pen.ellipse((left + side // 4, top + side // 4, left + 3 * side // 4, top + 3 * side // 4), "white")
    return image


def jpeg(image: Picture, quality: int = 90) -> bytes:
    """The usual encoder."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def palette_png(image: Picture) -> bytes:
    """256 colours of the image's own."""
    file = io.BytesIO()
    image.quantize(256).save(file, "PNG")
    return file.getvalue()


@dataclass(frozen=True)
class Transform:
    """What is done to an original, one step after the other, and how the copy is written."""

    name: str
    steps: tuple[Change, ...] = ()
    encode: Encode = jpeg

    def copy(self, image: Picture, number: int, seed: int) -> bytes:
        """The copy of the original with this number."""
        draw = np.random.default_rng([seed, zlib.crc32(self.name.encode()), number])
        for step in self.steps:
            image = step(image, draw)
        return self.encode(image)


def _of(name: str, *steps: Change, quality: int = 90) -> Transform:
    return Transform(name, steps, partial(jpeg, quality=quality))


half, screen = partial(resize, across=0.5, down=0.5), partial(resize, across=0.8, down=0.8)

TRANSFORMS: tuple[Transform, ...] = (
    *(_of(f"crop {kept} %", partial(crop, percent=kept)) for kept in (95, 90, 80, 70, 60, 50, 40, 30, 20, 10)),
    *(_of(f"JPEG {quality}", quality=quality) for quality in (75, 50, 30, 20, 15, 10, 8, 5, 3)),
    *(_of(f"resize ×{factor}", partial(resize, across=factor, down=factor)) for factor in (0.5, 0.25, 2)),
    *(_of(f"aspect ×{factor}", partial(resize, across=factor, down=1)) for factor in (0.67, 1.5)),
    *(_of(f"blur {pixels} px", partial(blur, pixels=pixels)) for pixels in (2, 5)),
    *(_of(f"noise σ {levels}", partial(noise, levels=levels)) for levels in (10, 30)),
    *(_of(f"rotate {degrees}°", partial(rotate, degrees=degrees)) for degrees in (2, 5, 10, 30, 90, 180)),
    _of("flip", flip),
    _of("grey", grey),
    *(_of(f"brightness ×{by}", partial(enhance, what=ImageEnhance.Brightness, factor=by)) for by in (0.6, 1.5)),
    *(_of(f"contrast ×{by}", partial(enhance, what=ImageEnhance.Contrast, factor=by)) for by in (0.6, 1.5)),
    *(_of(f"saturation ×{by}", partial(enhance, what=ImageEnhance.Color, factor=by)) for by in (0.3, 2)),
    _of("hue +60°", partial(hue, degrees=60)),
    *(_of(f"border {percent} %", partial(border, percent=percent)) for percent in (5, 10, 20)),
    *(_of(f"letterbox {percent} %", partial(border, percent=percent, down_only=True)) for percent in (5, 10, 20)),
    _of("text", text),
    _of("logo", logo),
    Transform("screenshot, palette PNG", (screen, bar), palette_png),
    _of("screenshot, JPEG 40", screen, bar, quality=40),
    _of("crop 80 % + JPEG 20", partial(crop, percent=80), quality=20),
    _of("flip + saturation + JPEG 30", flip, partial(enhance, what=ImageEnhance.Color, factor=2), quality=30),
    _of("border 5 % + text", partial(border, percent=5), text),
    _of("×0.5 + blur + JPEG 30", half, partial(blur, pixels=1.5), quality=30),
)
