"""One call of the operators that no recipe goes without, as mmcv's users make it."""

from __future__ import annotations

import torch

from transfer.openmmlab.bridge import install_bridge, status


def try_operators() -> str:
    """Run NMS and RoI align of `mmcv.ops`; returns which implementation answered, raises what it raises."""
    install_bridge()
    from mmcv.ops import nms, roi_align  # after the bridge: mmcv looks its extension up when this is imported

    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 3.9]])
    kept, _ = nms(boxes, torch.tensor([0.9, 0.8]), 0.5)
    rois = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])
    pooled = roi_align(torch.ones(1, 1, 8, 8), rois, 2)
    if len(kept) != 1 or not torch.equal(pooled, torch.ones(1, 1, 2, 2)):
        raise RuntimeError("NMS and RoI align run, but their results are wrong; see tests/openmmlab/test_ops.py.")
    return f"NMS and RoI align run; {status()}"
