"""Check ResNets for libraries that know them by a number and double their widths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEPTHS = {(3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}
BASIC_DEPTHS = {(2, 2, 2, 2): 18, (3, 4, 6, 3): 34}


def depth_of(options: Mapping[str, Any]) -> int | None:
    """Return the number after `ResNet-`, None where there is none."""
    return (BASIC_DEPTHS if options["block"] == "basic" else DEPTHS).get(tuple(options["depths"]))


def size_reasons(options: Mapping[str, Any]) -> list[str]:
    """Return the reasons against such a library."""
    widths = options.get("widths", [64, 128, 256, 512])
    reasons = []
    if depth_of(options) is None:
        reasons.append(f"its {options['block']} blocks are {options['depths']}, those of no ResNet with a number")
    if widths != [widths[0] * 2**stage for stage in range(4)]:
        reasons.append(f"widths of the stages are {widths}, which do not double")
    return reasons
