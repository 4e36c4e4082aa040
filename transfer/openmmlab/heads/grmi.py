"""G-RMI pose: one 1x1 convolution to a disc and an offset field for each joint, joints by Hough voting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.models.heads.base_head import BaseHead
from mmpose.registry import KEYPOINT_CODECS, MODELS
from torch import Tensor, nn
from torch.nn import functional

from transfer.openmmlab.heads.hough import field_losses, peaks, vote

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


@KEYPOINT_CODECS.register_module()
class HoughVoting(BaseKeypointCodec):
    """Joints in pixels of a crop of `input_size` (width, height); discs of `radius` pixels around them.

    Encoded are the joints themselves: the head makes its fields of them where it computes, instead of every loader
    process sending 3 K maps of the crop's size.
    """

    label_mapping_table: ClassVar = {"keypoint_labels": "keypoint_labels", "keypoint_weights": "keypoint_weights"}

    def __init__(self, input_size: tuple[int, int], radius: float) -> None:
        super().__init__()
        self.input_size = input_size
        self.radius = radius

    def encode(self, keypoints: np.ndarray, keypoints_visible: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """`(N, K, 2)` and 1 where a joint is labelled, `(N, K)` → the same under the names of mmpose's labels."""
        visible = np.ones(keypoints.shape[:2]) if keypoints_visible is None else keypoints_visible > 0
        return {"keypoint_labels": keypoints.astype(np.float32), "keypoint_weights": visible.astype(np.float32)}

    def decode(self, encoded: tuple[Tensor, Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities `(K, H, W)` and offsets `(K, 2, H, W)` of a crop → joints `(1, K, 2)`, scores `(1, K)`."""
        (joints,), (scores,) = self.batch_decode(*(field[None] for field in encoded))
        return joints, scores

    def batch_decode(self, probabilities: Tensor, offsets: Tensor) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """As `decode`, for each of a batch. A joint's score is the height of its peak of votes."""
        joints, scores = peaks(vote(probabilities, offsets, self.radius))
        return list(joints[:, None].cpu().numpy()), list(scores[:, None].cpu().numpy())


@MODELS.register_module()
class GRMIHead(BaseHead):
    """`(B, in_channels, h, w)`, the last of the levels → fields of the crop's size, bilinearly upsampled.

    Papandreou et al., CVPR 2017, section 3.2: for each of K joints (`out_channels`) the logit of lying in its disc, and
    the offset to the joint in pixels; losses weighted 4 and 1. `cells_at_corners` says that cells lie there in a crop
    (mmpose takes an `align_corners` out of every head's config).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        decoder: Mapping[str, Any],
        cells_at_corners: bool,
        heatmap_weight: float = 4.0,
        offset_weight: float = 1.0,
    ) -> None:
        super().__init__(init_cfg={"type": "Normal", "layer": "Conv2d", "std": 0.01})
        self.decoder = KEYPOINT_CODECS.build(decoder)
        self.joints = out_channels
        self.cells_at_corners = cells_at_corners
        self.weights = (heatmap_weight, offset_weight)
        self.fields = nn.Conv2d(in_channels, 3 * out_channels, 1)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits `(B, K, H, W)` and offsets `(B, K, 2, H, W)`."""
        width, height = self.decoder.input_size
        fields = functional.interpolate(
            self.fields(levels[-1]), (height, width), mode="bilinear", align_corners=self.cells_at_corners
        )
        return fields[:, : self.joints], fields[:, self.joints :].reshape(-1, self.joints, 2, height, width)

    def loss(
        self, levels: Sequence[Tensor], samples: Sequence[Any], train_cfg: Mapping[str, Any] = NO_OPTIONS
    ) -> dict[str, Tensor]:
        """Weighted losses of both fields against the samples' joints."""
        labels = [sample.gt_instance_labels for sample in samples]
        joints = torch.cat([label.keypoint_labels for label in labels])
        labelled = torch.cat([label.keypoint_weights for label in labels])
        logits, offsets = self(levels)
        losses = field_losses(logits, offsets, joints, labelled, self.decoder.radius)
        names = ("loss_heatmap", "loss_offset")
        return {name: weight * loss for name, weight, loss in zip(names, self.weights, losses, strict=True)}

    def predict(
        self, levels: Sequence[Tensor], samples: Sequence[Any], test_cfg: Mapping[str, Any] = NO_OPTIONS
    ) -> list[Any]:
        """Joints of each crop, in its pixels."""
        logits, offsets = self(levels)
        found: list[Any] = self.decode((logits.sigmoid(), offsets))
        return found
