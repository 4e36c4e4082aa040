from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.pretrain.contours import draw_classes, render


def test_classes_follow_the_seed_and_more_of_them_keep_the_first() -> None:
    assert draw_classes(5, 1) == draw_classes(9, 1)[:5]
    assert draw_classes(5, 1) != draw_classes(5, 2)
    assert len(set(draw_classes(200, 0))) == 200


@given(index=st.integers(0, 199), draw=st.integers(0, 2**32), size=st.sampled_from([32, 64, 97]))
@settings(max_examples=60, deadline=None)
def test_every_draw_is_an_image_with_bright_lines_on_a_dark_ground(index: int, draw: int, size: int) -> None:
    image = render(draw_classes(200, 0)[index], np.random.default_rng(draw), size)
    assert image.shape == (size, size, 3) and image.dtype == np.uint8
    bright = image.max(2) >= 75
    assert bright.any() and not bright.all()


def test_instances_repeat_with_their_draw_and_vary_otherwise() -> None:
    (contour,) = draw_classes(1, 0)
    first, again, other = (render(contour, np.random.default_rng(draw), 64) for draw in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize("name, less, more", [("polygons", 1, 8), ("line_width", 0.01, 0.05), ("radius", 0.2, 0.45)])
def test_parameters_do_what_they_say(name: str, less: float, more: float) -> None:
    contour = replace(draw_classes(1, 0)[0], resizing=0.2, vertices=12, noise=0.1, polygons=2)
    ink = [
        np.mean([(render(c, np.random.default_rng(d), 64).max(2) > 75).mean() for d in range(10)])
        for c in (replace(contour, **{name: value}) for value in (less, more))
    ]
    assert ink[1] > 1.2 * ink[0]
