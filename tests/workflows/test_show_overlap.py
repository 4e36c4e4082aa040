"""Pairs of an overlap are drawn as a page or a sheet, with or without the images at hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from transfer import cli


@pytest.fixture
def overlap(tmp_path: Path) -> Path:
    """Three test images of which two are in the corpus, one of them recompressed."""
    for folder in ("tests", "corpus"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)
        image = Image.fromarray(pixels).resize((320, 240))
        image.save(tmp_path / "tests" / f"{number}.png")
        if number < 2:
            image.save(tmp_path / "corpus" / f"{number}.jpg", quality=40)
    index, output = tmp_path / "c.index", tmp_path / "overlap.json"
    assert cli.main(["dedup", "index", str(tmp_path / "corpus"), "-o", str(index)]) == 0
    assert cli.main(["dedup", "check", str(index), str(tmp_path / "tests"), "-o", str(output)]) == 0
    return output


def test_a_page_shows_both_images_of_every_pair(overlap: Path) -> None:
    assert cli.main(["dedup", "show", str(overlap)]) == 0
    page = overlap.with_suffix(".html").read_text(encoding="utf-8")
    assert page.count("<img") == 4 and page.count("<figure>") == 2
    assert "corpus/1.jpg" in page and "<h2>Duplicate</h2>" in page


def test_a_sheet_is_an_image(overlap: Path, tmp_path: Path) -> None:
    assert cli.main(["dedup", "show", str(overlap), "-o", str(tmp_path / "sheet.png"), "--pairs", "1"]) == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG" and min(sheet.size) > 100


def test_images_that_are_gone_are_left_grey(overlap: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "corpus")
    data = json.loads(overlap.read_text(encoding="utf-8"))
    del data["here"]["tests"]
    overlap.write_text(json.dumps(data), encoding="utf-8")
    assert cli.main(["dedup", "show", str(overlap)]) == 0
    assert overlap.with_suffix(".html").read_text(encoding="utf-8").count("<img") == 4


def test_a_program_in_place_of_an_image_is_not_run(
    overlap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments, **options: run.append(arguments))
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 320 240\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "corpus" / "0.jpg").write_bytes(program)
    assert cli.main(["dedup", "show", str(overlap)]) == 0
    assert not run and overlap.with_suffix(".html").read_text(encoding="utf-8").count("<img") == 4


@pytest.mark.parametrize(
    ("options", "message"), [(["-o", "a.pdf"], "ends in .html or .png"), (["--pairs", "0"], "must be at least 1")]
)
def test_bad_options_are_named(
    overlap: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["dedup", "show", str(overlap), *options]) == 1
    assert message in capsys.readouterr().err


def test_no_pairs_are_a_page_too(overlap: Path) -> None:
    data = json.loads(overlap.read_text(encoding="utf-8"))
    overlap.write_text(json.dumps({**data, "pairs": []}), encoding="utf-8")
    for name in ("none.html", "none.png"):
        assert cli.main(["dedup", "show", str(overlap), "-o", str(overlap.with_name(name))]) == 0
