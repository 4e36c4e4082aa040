"""From a mask to polygons: the outer borders of its connected parts, along pixel edges."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from transfer.datasets.mini.draws import Array

Corner = tuple[int, int]
Edges = dict[Corner, list[Corner]]

STEPS = ((0, -1, 0, 0, 1, 0), (0, 1, 1, 1, 0, 1), (-1, 0, 0, 1, 0, 0), (1, 0, 1, 0, 1, 1))
"""Neighbour (dx, dy), and the corners (x, y) at which the pixel's edge towards it starts and ends: clockwise."""


def outer_polygons(mask: Array) -> list[list[Corner]]:
    """Corners (x, y) of each 4-connected part's outer border; holes are filled, as COCO's annotators do.

    Pixel (column, row) covers the square from (column, row) to (column + 1, row + 1).
    """
    edges = _edges(mask)
    loops = []
    while edges:
        loop = _follow(edges)
        if signed_area(loop) > 0:
            loops.append(_corners(loop))
    return loops


def signed_area(polygon: list[Corner]) -> float:
    """Area in square pixels; positive for clockwise corners (y points down)."""
    following = polygon[1:] + polygon[:1]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(polygon, following, strict=True)) / 2


def _edges(mask: Array) -> Edges:
    """Directed edges between pixels inside and outside, the inside to the right of each, by their start."""
    padded = np.pad(mask, 1)
    edges: Edges = {}
    for dx, dy, x0, y0, x1, y1 in STEPS:
        border = mask & ~np.roll(padded, (-dy, -dx), (0, 1))[1:-1, 1:-1]
        for row, column in np.argwhere(border).tolist():
            edges.setdefault((column + x0, row + y0), []).append((column + x1, row + y1))
    return edges


def _follow(edges: Edges) -> list[Corner]:
    """Take one closed loop out of `edges`, keeping right where two loops touch, so that parts stay apart."""
    start = min(edges)
    loop = [start]
    heading = (0, 0)
    while True:
        here = loop[-1]
        ahead = min(edges[here], key=lambda corner: _turn(heading, here, corner))
        edges[here].remove(ahead)
        if not edges[here]:
            del edges[here]
        if ahead == start and start not in edges:
            return loop
        heading = (ahead[0] - here[0], ahead[1] - here[1])
        loop.append(ahead)


def _turn(heading: Corner, here: Corner, ahead: Corner) -> int:
    """-1 for a right turn, 1 for a left turn (y points down)."""
    dx, dy = ahead[0] - here[0], ahead[1] - here[1]
    return heading[1] * dx - heading[0] * dy


def _corners(loop: list[Corner]) -> list[Corner]:
    """`loop` without the points on straight lines."""
    return [point for point, before, after in _neighbours(loop) if (before[0] - after[0]) * (before[1] - after[1])]


def _neighbours(loop: list[Corner]) -> Iterator[tuple[Corner, Corner, Corner]]:
    return zip(loop, loop[-1:] + loop[:-1], loop[1:] + loop[:1], strict=True)
