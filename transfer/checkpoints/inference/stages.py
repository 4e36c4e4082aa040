"""How many blocks each stage of a hierarchical network has."""

from __future__ import annotations

from transfer.checkpoints.inference.votes import Shapes, count
from transfer.errors import WeightMismatch


def stage_depths(shapes: Shapes, network: str, patterns: dict[str, str]) -> list[int]:
    """Blocks per stage; `patterns` maps a stage's prefix to a pattern whose group is the number of a block.

    Raises WeightMismatch that names the stages without a tensor.
    """
    depths = {stage: count(shapes, pattern) for stage, pattern in patterns.items()}
    missing = [f"  - {stage}.*" for stage, depth in depths.items() if not depth]
    if missing:
        raise WeightMismatch(
            f"a {network}'s backbone has {len(patterns)} stages; without a tensor in the file:\n"
            + "\n".join(missing)
            + f"\nClosest names: {', '.join(list(shapes)[-4:])}. Only a whole backbone can be evaluated."
        )
    return list(depths.values())
