from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfer.pictures.curves import plot_run
from transfer.pictures.drawing import colour, draw_boxes, draw_joints, draw_labels, draw_masks, fit_image
from transfer.pictures.sheet import Pair, contact_sheet

GREY = (128, 128, 128)


def canvas(width: int = 80, height: int = 60) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def changed(image: Image.Image) -> np.ndarray:
    """`(H, W)`: where it is no longer grey."""
    return (np.asarray(image) != GREY).any(axis=-1)


def test_neighbouring_classes_have_unlike_colours() -> None:
    colours = np.array([colour(index) for index in range(40)], int)
    assert len({tuple(row) for row in colours}) == 40
    assert np.abs(np.diff(colours, axis=0)).sum(axis=1).min() > 100


@pytest.mark.parametrize(("size", "shown"), [((1000, 500), (360, 180)), ((100, 50), (200, 100)), ((5000, 1), (360, 1))])
def test_images_are_shown_at_one_size(size: tuple[int, int], shown: tuple[int, int]) -> None:
    image, scale = fit_image(Image.new("L", size), 360)
    assert (image.size, image.mode) == (shown, "RGB") and scale == pytest.approx(shown[0] / size[0])


def test_a_box_is_drawn_where_it_is() -> None:
    image = canvas()
    draw_boxes(image, [{"bbox": [40, 60, 80, 40], "category_id": 7, "score": 0.5}], {3: "cat", 7: "dog"}, 0.5)
    pixels = np.asarray(image)
    assert tuple(pixels[48, 20]) == tuple(pixels[49, 59]) == colour(1)
    assert not changed(image)[:29].any() and not changed(image)[:, 62:].any() and not changed(image)[:, :19].any()


def test_masks_and_labels_cover_what_they_mark() -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 5:15] = 1
    where = np.kron(mask, np.ones((2, 2), np.uint8)) > 0
    assert np.array_equal(changed(draw_masks(canvas(), [mask], [colour(0)])), where)
    assert np.array_equal(changed(draw_labels(canvas(), np.where(mask, 3, 255).astype(np.uint8))), where)


def test_only_joints_that_are_seen_are_drawn() -> None:
    image = canvas()
    draw_joints(image, [{"keypoints": [20, 20, 2, 60, 20, 2, 40, 55, 0]}], [(1, 2), (2, 3)], 1.0, 0.2)
    found = changed(image)
    assert found[20, 40] and found[20, 20] and not found[30:].any()


def test_a_sheet_shows_every_pair_once() -> None:
    red, blue = (Image.new("RGB", (30, 20), shade) for shade in ((255, 0, 0), (0, 0, 255)))
    rows = [
        [Pair("best · a very long name of an image that does not fit.jpg", red, blue)] * 2,
        [Pair("worst", red, blue)],
    ]
    pixels = np.asarray(contact_sheet("title", rows))
    assert (pixels == (255, 0, 0)).all(axis=-1).sum() == (pixels == (0, 0, 255)).all(axis=-1).sum() == 3 * 600


@pytest.mark.parametrize("scores", [{}, {"AP": [(0, 0.0), (10, 0.2)], "AP50": [(0, 0.1), (10, 0.5)]}])
def test_curves_are_a_picture(scores: dict[str, list[tuple[float, float]]], tmp_path: Path) -> None:
    plot_run(tmp_path / "curves.png", "run", [(10, 2.0), (20, 1.0)], scores)
    with Image.open(tmp_path / "curves.png") as image:
        assert image.width == (1100 if scores else 550) and np.asarray(image.convert("L")).std() > 0


def test_a_legend_names_every_colour() -> None:
    pair = Pair("best", canvas(), canvas())
    legend = [(f"a class with the number {index}", colour(index)) for index in range(20)]
    pixels = np.asarray(contact_sheet("title", [[pair]], legend))
    assert pixels.shape[0] > np.asarray(contact_sheet("title", [[pair]])).shape[0]
    assert all((pixels == shade).all(axis=-1).sum() == 121 for _, shade in legend)
