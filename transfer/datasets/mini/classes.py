"""Names in `mini`: objects, regions, joints."""

from __future__ import annotations

OBJECTS = ("person", "star", "blob", "crate", "leaf")

CATEGORY_IDS = (1, 3, 4, 8, 12)
"""Ids with gaps, as in COCO: a label is the position among the categories, never the id."""

SEMANTIC_CLASSES = ("background", *OBJECTS, "ground", "water")
"""Names of the label values 0 to 7 in the semantic PNGs."""

JOINTS = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
"""COCO's 17 joints, in COCO's order."""

BONES = (
    *(("left_ankle", "left_knee"), ("left_knee", "left_hip"), ("right_ankle", "right_knee")),
    *(("right_knee", "right_hip"), ("left_hip", "right_hip"), ("left_shoulder", "left_hip")),
    *(("right_shoulder", "right_hip"), ("left_shoulder", "right_shoulder"), ("left_shoulder", "left_elbow")),
    *(("right_shoulder", "right_elbow"), ("left_elbow", "left_wrist"), ("right_elbow", "right_wrist")),
    *(("left_eye", "right_eye"), ("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear")),
    *(("right_eye", "right_ear"), ("left_ear", "left_shoulder"), ("right_ear", "right_shoulder")),
)
"""COCO's skeleton: which joints are connected."""
