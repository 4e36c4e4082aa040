from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from transfer.datasets.mini.contours import outer_polygons, signed_area
from transfer.datasets.mini.draws import Array

masks = hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def _rasterised(polygons: list[list[tuple[int, int]]], height: int, width: int) -> Array:
    flat = [[value for point in polygon for value in point] for polygon in polygons]
    return np.asarray(coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, height, width)))).astype(bool)


def _outside(mask: Array) -> Array:
    """Unset pixels that reach the border over sides or corners: what no outer border encloses."""
    reached = np.pad(np.zeros(mask.shape, bool), 1, constant_values=True)
    free = ~np.pad(mask, 1)
    while True:
        steps = [np.roll(reached, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        grown = free & np.logical_or.reduce(steps)
        if (grown == reached).all():
            return np.asarray(reached[1:-1, 1:-1])
        reached = grown


@given(masks)
def test_polygons_enclose_the_mask_with_its_holes_filled(mask: Array) -> None:
    polygons = outer_polygons(mask)
    expected = ~_outside(mask)
    if not mask.any():
        assert polygons == []
        return
    assert (_rasterised(polygons, *mask.shape) == expected).all()


def test_parts_that_touch_at_a_corner_stay_apart() -> None:
    polygons = outer_polygons(np.eye(3, dtype=bool))
    assert sorted(map(signed_area, polygons)) == [1, 1, 1]


def test_straight_lines_keep_only_their_ends() -> None:
    (polygon,) = outer_polygons(np.ones((3, 5), bool))
    assert sorted(polygon) == [(0, 0), (0, 3), (5, 0), (5, 3)]


def test_a_ring_is_filled() -> None:
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    (polygon,) = outer_polygons(ring)
    assert signed_area(polygon) == pytest.approx(25)
