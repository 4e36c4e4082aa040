"""Draw the pairs of overlap.json side by side, as an HTML page or a PNG sheet, to judge by eye."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from transfer.dedup.decoding import decode_colour
from transfer.dedup.overlap import Overlap, read_overlap
from transfer.dedup.sources.inputs import read_images
from transfer.dedup.sources.pieces import Places
from transfer.errors import BadOption, CorruptImage
from transfer.files.atomic import check_output, replacing
from transfer.pictures.drawing import fit_image
from transfer.pictures.page import SideBySide, pairs_page
from transfer.pictures.sheet import Pair, contact_sheet

SIDE = 320
"""Longest side of a shown image, pixels."""

COLUMNS = 3
"""Pairs in a row of a PNG sheet."""

ORDER = ("candidate", "undecidable", "duplicate")
"""Verdicts; those that need an eye come first."""

GONE = Image.new("RGB", (SIDE, SIDE * 3 // 4), (230, 230, 230))
"""Shown in place of an image that is not on this machine."""


def show_overlap(path: Path, output: Path, most: int) -> str:
    """Draw up to `most` pairs, the least certain of each verdict first, to `output` (.html or .png)."""
    if output.suffix not in (".html", ".png"):
        raise BadOption(f"--output: expected a name that ends in .html or .png, not {output.name!r}.")
    if most < 1:
        raise BadOption(f"--pairs must be at least 1, not {most}.")
    check_output(output)
    overlap = read_overlap(path)
    chosen = sorted(overlap.pairs, key=_doubt)[:most]
    pairs = [(pair["verdict"], images) for pair, images in zip(chosen, _open(overlap, chosen), strict=True)]
    shown = f"{len(chosen):,} of {len(overlap.pairs):,} pairs"
    with replacing(output) as temporary:
        if output.suffix == ".html":
            temporary.write_text(_page(overlap, pairs, shown), encoding="utf-8", errors="backslashreplace")
        else:
            _sheet(overlap, pairs, shown).save(temporary, format="PNG")
    gone = sum(image is GONE for _, images in pairs for image in (images.first, images.second))
    return f"wrote {output}: {shown}" + (f"; {gone:,} images are not on this machine and left grey" if gone else "")


def _doubt(pair: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a sort key: verdicts in `ORDER`; within one, the pairs furthest apart first."""
    return ORDER.index(pair["verdict"]), pair["similarity"] or 1.0, -pair["distance"], pair["test"]


def _open(overlap: Overlap, pairs: Sequence[Mapping[str, Any]]) -> list[SideBySide]:
    tests = _images(overlap.places("tests"), [(pair["test_set"], pair["test"]) for pair in pairs])
    corpus = _images(overlap.places("corpus"), [(pair["corpus_source"], pair["corpus"]) for pair in pairs])
    return [
        SideBySide(
            tests.get((pair["test_set"], pair["test"]), GONE),
            corpus.get((pair["corpus_source"], pair["corpus"]), GONE),
            _lines(pair),
        )
        for pair in pairs
    ]


def _images(places: Places, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Image.Image]:
    """Load thumbnails of the pairs whose files exist and decode."""
    found = {}
    for source in sorted({source for source, _ in names} & places.keys()):
        for name, data in read_images(*places[source], {name for each, name in names if each == source}):
            if not isinstance(data, CorruptImage) and (image := _small(data)) is not None:
                found[source, name] = image
    return found


def _small(data: bytes) -> Image.Image | None:
    try:
        return fit_image(Image.fromarray(decode_colour(data)), SIDE)[0]
    except CorruptImage:
        return None


def _lines(pair: Mapping[str, Any]) -> tuple[str, ...]:
    facts = [f"{pair['verdict']} by {pair['evidence']}", f"{pair['distance']} of 256 bits"]
    facts += [f"test image {pair['transform']}"] if pair["transform"] != "none" else []
    facts += [f"{key} {pair[key]:.3f}" for key in ("similarity", "cosine") if pair[key] is not None]
    return ", ".join(facts), f"{pair['test_set']}: {pair['test']}", f"{pair['corpus_source']}/{pair['corpus']}"


def _title(overlap: Overlap) -> str:
    return f"Test images next to images of {overlap.corpus['name']}"


def _page(overlap: Overlap, pairs: Sequence[tuple[str, SideBySide]], shown: str) -> str:
    images = sum(test.images for test in overlap.tests)
    counts = ", ".join(f"{number:,} {verdict}" for verdict, number in overlap.counts["images"].items())
    lines = [
        f"{images:,} test images, {overlap.corpus['images']:,} in the corpus. Test images by verdict: {counts}.",
        f"{shown}: left the test image, right the corpus image, the least certain of each verdict first.",
    ]
    sections = {verdict: [images for each, images in pairs if each == verdict] for verdict in ORDER}
    return pairs_page(
        _title(overlap), lines, {name.capitalize(): section for name, section in sections.items() if section}
    )


def _sheet(overlap: Overlap, pairs: Sequence[tuple[str, SideBySide]], shown: str) -> Image.Image:
    cells = [Pair(" · ".join(images.lines), images.first, images.second) for _, images in pairs]
    rows = [cells[at : at + COLUMNS] for at in range(0, len(cells), COLUMNS)] or [[Pair("no pairs", GONE, GONE)]]
    return contact_sheet(f"{_title(overlap)} · {shown}", rows)
