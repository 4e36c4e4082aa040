"""Records of earlier schemas as those of today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SMALL = ("coco_mini", "bccd", "camvid")
"""What the names of schema 1's recipes for a quarter of an hour on two cores ended with."""

RENAMED = {"linear": "linear_segmentation"}
JFT = "faster_rcnn_c4_coco"


def migrated(data: Any) -> Any:
    """Return the JSON of a record as schema 2 has it; what is no record of schema 1 is returned as it is.

    Schema 1 named a recipe, HEAD_DATA, where schema 2 names head, data set, size and arguments.
    """
    if not isinstance(data, Mapping) or data.get("schema") != 1 or not isinstance(data.get("run"), Mapping):
        return data
    run = dict(data["run"])
    if isinstance(run.get("recipe"), str):
        run |= _binding(run.pop("recipe"), data)
    return {**data, "run": run, "schema": 2}


def _binding(recipe: str, data: Mapping[str, Any]) -> dict[str, Any]:
    test = data.get("data", {}).get("test", {})
    ending = next((end for end in (*SMALL, "mini", "coco", "voc", "ade20k") if recipe.endswith(f"_{end}")), "")
    head = recipe.removesuffix(f"_{ending}")
    size = "jft" if recipe == JFT else "small" if ending in SMALL else "mini" if ending == "mini" else "full"
    arguments = {"image_scale": [320, 240]} if ending == "bccd" else {}
    dataset = str(test.get("dataset", ending))
    return {"head": RENAMED.get(head, head), "dataset": dataset, "size": size, "arguments": arguments}
