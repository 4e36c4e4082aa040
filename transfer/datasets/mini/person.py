"""Articulated figures with COCO's 17 joints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from transfer.datasets.mini.shapes import Point

SIDES = (("left", 1.0), ("right", -1.0))
"""A figure faces the viewer, so its left is at larger x."""


@dataclass(frozen=True)
class Limb:
    """A capsule between two points, in pixels; `part` decides its colours: `skin`, `shirt`, `trousers` or `eye`."""

    start: Point
    end: Point
    width: float
    part: str


@dataclass(frozen=True)
class Figure:
    """Joints by name, and limbs from back to front, in pixels."""

    joints: Mapping[str, Point]
    limbs: tuple[Limb, ...]


def draw_figure(rng: Random, centre: Point, height: float) -> Figure:
    """A figure of about `height` pixels, in a random pose, its hips' middle near `centre`."""
    joints = _pose(rng, centre, height)
    return Figure(joints, tuple(_limbs(joints, height, rng)))


def _pose(rng: Random, centre: Point, height: float) -> dict[str, Point]:
    """Angles are radians from straight down, positive towards the figure's left."""
    lean = _between(rng, -0.3, 0.3)
    neck = _step(centre, lean + math.pi, 0.30 * height)
    joints = _head(neck, lean + _between(rng, -0.25, 0.25), height)
    for side, sign in SIDES:
        joints |= _arm(rng, neck, side, sign, lean, height) | _leg(rng, centre, side, sign, lean, height)
    return joints


def _head(neck: Point, tilt: float, height: float) -> dict[str, Point]:
    nose = _step(neck, tilt + math.pi, 0.13 * height)
    joints = {"nose": nose}
    for side, sign in SIDES:
        across = tilt + sign * math.pi / 2
        joints[f"{side}_eye"] = _step(_step(nose, across, 0.035 * height), tilt + math.pi, 0.03 * height)
        joints[f"{side}_ear"] = _step(_step(nose, across, 0.07 * height), tilt + math.pi, 0.01 * height)
    return joints


def _arm(rng: Random, neck: Point, side: str, sign: float, lean: float, height: float) -> dict[str, Point]:
    shoulder = _step(neck, lean + sign * math.pi / 2, 0.115 * height)
    raised = lean + sign * _between(rng, -0.1, 2.5)
    elbow = _step(shoulder, raised, 0.17 * height)
    wrist = _step(elbow, raised + sign * _between(rng, -0.4, 1.7), 0.16 * height)
    return {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow, f"{side}_wrist": wrist}


def _leg(rng: Random, centre: Point, side: str, sign: float, lean: float, height: float) -> dict[str, Point]:
    hip = _step(centre, lean + sign * math.pi / 2, 0.075 * height)
    thigh = sign * _between(rng, -0.1, 0.9)
    knee = _step(hip, thigh, 0.23 * height)
    ankle = _step(knee, thigh - sign * _between(rng, -0.1, 1.1), 0.22 * height)
    return {f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankle}


def _limbs(joints: Mapping[str, Point], height: float, rng: Random) -> list[Limb]:
    """Legs, then backbone, head and arms; either side may be in front."""
    sides = ["left", "right"]
    rng.shuffle(sides)
    sleeve = rng.choice(("skin", "shirt"))
    chains = [("hip", "knee", 0.105, "trousers"), ("knee", "ankle", 0.085, "trousers")]
    arms = [("shoulder", "elbow", 0.08, "shirt"), ("elbow", "wrist", 0.065, sleeve)]
    legs = [_limb(joints, side, *chain, height) for side in sides for chain in chains]
    return [*legs, *_backbone(joints, height), *(_limb(joints, side, *arm, height) for side in sides for arm in arms)]


def _limb(joints: Mapping[str, Point], side: str, start: str, end: str, width: float, part: str, height: float) -> Limb:
    return Limb(joints[f"{side}_{start}"], joints[f"{side}_{end}"], width * height, part)


def _backbone(joints: Mapping[str, Point], height: float) -> list[Limb]:
    neck = _middle(joints["left_shoulder"], joints["right_shoulder"])
    hips = _middle(joints["left_hip"], joints["right_hip"])
    crown = _step(joints["nose"], _direction(neck, joints["nose"]), 0.03 * height)
    chest = [Limb(joints[f"{s}_shoulder"], joints[f"{s}_hip"], 0.12 * height, "shirt") for s, _ in SIDES]
    eyes = [Limb(joints[f"{s}_eye"], joints[f"{s}_eye"], 0.035 * height, "eye") for s, _ in SIDES]
    head = Limb(joints["nose"], crown, 0.17 * height, "skin")
    return [*chest, Limb(neck, hips, 0.16 * height, "shirt"), head, *eyes]


def _between(rng: Random, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def _step(start: Point, angle: float, length: float) -> Point:
    return start[0] + length * math.sin(angle), start[1] + length * math.cos(angle)


def _direction(start: Point, end: Point) -> float:
    return math.atan2(end[0] - start[0], end[1] - start[1])


def _middle(a: Point, b: Point) -> Point:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
