"""What a detector makes of its regions."""

from __future__ import annotations

from typing import Any

from mmdet.models.roi_heads import StandardRoIHead
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class LastStageRoIHead(StandardRoIHead):
    """mmdet's head of boxes and masks, for regions that go through a LastStage together.

    mmdet selects the regions that have masks with bytes; torch wants booleans and warns.
    """

    def _mask_forward(
        self,
        x: tuple[Tensor, ...],
        rois: Tensor | None = None,
        pos_inds: Tensor | None = None,
        bbox_feats: Tensor | None = None,
    ) -> dict[str, Any]:
        return super()._mask_forward(x, rois, None if pos_inds is None else pos_inds.bool(), bbox_feats)
