"""Tell whether two images show the same picture: one is laid over the other, and pixels are compared tile by tile."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer.dedup.decoding import decode_grey

Grey = NDArray[np.float32]
Affine = NDArray[np.float32]
"""(2, 3): where a pixel of the test image lies in the corpus image."""

LONGEST = 256
"""Longest side at which images are compared, pixels."""

TILE, LEAST_TILES = 16, 4
"""Side of a tile, pixels, and how many must be comparable."""

BLUR = 1.5
"""Standard deviation of the filter, pixels, under which the grain of compression and scaling disappears."""

FLAT = 3.0
"""Standard deviation, grey levels, below which a tile of both images shows nothing to compare."""

SAME = 0.96
"""Least median correlation of the tiles of one picture: measured in docs/dedup.md."""

STEPS, PRECISION, SMOOTH = 60, 1e-4, 5
"""When the search for the best overlay ends, and the side of its filter, pixels."""

KEYPOINTS, DISTINCT, LEAST_INLIERS, REACH = 500, 0.8, 8, 3.0
"""Scale-invariant features of an image, Lowe's ratio of a match, matches that must agree, and by how many pixels."""


def similarity(test: bytes, corpus: bytes, transform: str = "none") -> float:
    """Return how well two image files agree where they show the same, the test image after `transform`: -1 to 1.

    The median over tiles of the correlation of their pixels, so that an overlay or a border costs its own tiles only,
    while scenes that merely look alike agree nowhere exactly. 0 where one cannot be laid over the other. Raises
    CorruptImage.
    """
    first, second = apply_transform(_prepare(test), transform), _prepare(corpus)
    best = 0.0
    for place in _placements(first, second):
        best = max(best, _agreement(first, second, place))
        if best >= SAME:
            break
    return best


def apply_transform(image: Grey, transform: str) -> Grey:
    """Return an `(H, W)` image after one of `TRANSFORMS`."""
    transformed = {
        "none": image,
        "flip": image[:, ::-1],
        "flip vertical": image[::-1],
        "rotate 180": image[::-1, ::-1],
        "transpose": image.T,
        "rotate 90": image[::-1].T,
        "rotate 270": image.T[::-1],
        "transverse": image[::-1, ::-1].T,
    }
    return np.ascontiguousarray(transformed[transform])


def _placements(first: Grey, second: Grey) -> Iterator[Affine]:
    """Yield ways to lay one over the other, the cheapest first: stretched, adjusted a little, by common features."""
    stretched = _stretched(first, second)
    yield stretched
    if (adjusted := _adjusted(first, second, stretched)) is not None:
        yield adjusted
    if (matched := _matched(first, second)) is not None:
        yield matched


def _prepare(data: bytes) -> Grey:
    grey = decode_grey(data)
    scale = LONGEST / max(grey.shape)
    height, width = (max(TILE, round(side * scale)) for side in grey.shape)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(grey, (width, height), interpolation=way).astype(np.float32)


def _stretched(first: Grey, second: Grey) -> Affine:
    down, across = (b / a for a, b in zip(first.shape, second.shape, strict=True))
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2]], np.float32)


def _adjusted(first: Grey, second: Grey, start: Affine) -> Affine | None:
    """Find the affine map near `start` of the largest correlation (Evangelidis and Psarakis, ECC, TPAMI 2008)."""
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, STEPS, PRECISION)
    moved = cv2.warpAffine(first, start, second.shape[::-1])
    try:
        everywhere = np.ones(second.shape, np.uint8)
        rest = np.eye(2, 3, dtype=np.float32)
        _, warp = cv2.findTransformECC(second, moved, rest, cv2.MOTION_AFFINE, criteria, everywhere, SMOOTH)
    except cv2.error:  # the two have too little in common, and the search diverges
        return None
    correction = cv2.invertAffineTransform(warp)
    return np.asarray(correction @ np.vstack([start, [0, 0, 1]]), np.float32)


def _matched(first: Grey, second: Grey) -> Affine | None:
    """Find the affine map on which most matches of SIFT features agree (Lowe, IJCV 2004; RANSAC)."""
    detector = cv2.SIFT.create(KEYPOINTS)
    (here, ours), (there, theirs) = (
        detector.detectAndCompute(image.astype(np.uint8), None) for image in (first, second)
    )
    if ours is None or theirs is None or len(here) < 2:
        return None
    pairs = cv2.BFMatcher().knnMatch(theirs, ours, k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < DISTINCT * pair[1].distance]
    if len(good) < LEAST_INLIERS:
        return None
    source = np.array([here[match.trainIdx].pt for match in good], np.float32)
    target = np.array([there[match.queryIdx].pt for match in good], np.float32)
    cv2.setRNGSeed(0)  # the same pair, the same answer
    warp, agreeing = cv2.estimateAffine2D(source, target, method=cv2.RANSAC, ransacReprojThreshold=REACH)
    if warp is None or int(agreeing.sum()) < LEAST_INLIERS:
        return None
    return warp.astype(np.float32)


def _agreement(first: Grey, second: Grey, place: Affine) -> float:
    """Return the median correlation of the tiles that both images fill and in which one of them shows something."""
    size = second.shape[::-1]
    moved, filled = (cv2.warpAffine(image, place, size) for image in (first, np.ones_like(first)))
    enlarged = float(np.sqrt(abs(np.linalg.det(place[:, :2]))))  # what is enlarged has less detail to agree in
    tiles = [_tiles(cv2.GaussianBlur(image, (0, 0), BLUR * max(1.0, enlarged))) for image in (moved, second)]
    covered = _tiles(filled > 0.99).all(axis=1)
    ours, theirs = (each[covered] - each[covered].mean(axis=1, keepdims=True) for each in tiles)
    sizes = np.stack([np.sqrt((each**2).mean(axis=1)) for each in (ours, theirs)])
    shown = (sizes >= FLAT).any(axis=0)
    if shown.sum() < LEAST_TILES:
        return 0.0
    products = (ours * theirs).mean(axis=1)[shown]
    scale = sizes.prod(axis=0)[shown]
    return float(np.median(np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)))


def _tiles(image: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return (N, 256): the pixels of each complete tile."""
    down, across = (side // TILE for side in image.shape)
    fitting = image[: down * TILE, : across * TILE].reshape(down, TILE, across, TILE)
    return fitting.swapaxes(1, 2).reshape(-1, TILE * TILE)
