"""ResNets without names: `nn.Sequential(*resnet.children())` numbers its modules."""

from __future__ import annotations

import re
from collections.abc import Iterable

from transfer.checkpoints.keys.rules import Rename, Rule

NUMBERED = r"[2-7]\.\d+\.(conv|bn)\d\."
"""Pattern of names within a stage."""


def numbered_rules(names: Iterable[str]) -> tuple[Rule, ...]:
    """Return rules from the numbers of such a network to canonical names.

    torchvision's stages are 4 to 7, after convolution, norm, activation and pooling; a network that has the last two in
    its code instead (lightly's) has its stages at 2 to 5.
    """
    first = first_stage(names)
    return (
        Rename(r"0\.(.*)", r"conv1.\1"),
        Rename(r"1\.(.*)", r"bn1.\1"),
        *(Rename(rf"{first + stage}\.(\d.*)", rf"layer{stage + 1}.\1") for stage in range(4)),
    )


def first_stage(names: Iterable[str]) -> int:
    """Return the number of the first stage, even if the file lacks one of them."""
    stages = {int(name[0]) for name in names if re.match(NUMBERED, name)}
    return 2 if stages & {2, 3} else 4
