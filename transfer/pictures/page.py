"""Lay out pairs of images as one HTML page that stands alone: images inside, no script, no address."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

QUALITY = 85

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1a1a1a; }
h1 { font-size: 1.4rem; margin-bottom: .3rem; } p { margin: .2rem 0; color: #444; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #ccc; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid #ddd; border-radius: 6px; padding: .6rem; background: #fafafa; }
figure div { display: flex; gap: .4rem; align-items: flex-start; }
figure img { width: calc(50% - .2rem); height: auto; background: #eee; }
figcaption { margin-top: .4rem; font-size: .8rem; overflow-wrap: anywhere; }
"""


PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>{style}</style></head>
<body>{body}</body>
</html>
"""


@dataclass(frozen=True)
class SideBySide:
    """Two images and what is to be said of them, line by line."""

    first: Image.Image
    second: Image.Image
    lines: tuple[str, ...]


def pairs_page(title: str, lines: Sequence[str], sections: Mapping[str, Sequence[SideBySide]]) -> str:
    """Return an HTML page: a title, some lines, and sections of pairs side by side."""
    parts = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{html.escape(line)}</p>" for line in lines)]
    for name, pairs in sections.items():
        parts.append(f"<h2>{html.escape(name)}</h2>")
        parts.append(f'<div class="pairs">{"".join(map(_figure, pairs))}</div>')
    return PAGE.format(title=html.escape(title), style=STYLE, body="\n".join(parts))


def _figure(pair: SideBySide) -> str:
    images = "".join(f'<img alt="" src="{_inline(image)}">' for image in (pair.first, pair.second))
    caption = "<br>".join(map(html.escape, pair.lines))
    return f"<figure><div>{images}</div><figcaption>{caption}</figcaption></figure>"


def _inline(image: Image.Image) -> str:
    """Return a JPEG as a data address (RFC 2397)."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
