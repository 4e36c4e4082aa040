"""Which proposals a detector learns from: drawn from the sample's position, not from a global generator."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.task_modules.samplers import RandomSampler
from mmdet.registry import TASK_UTILS

from transfer.errors import StageFailed

STREAM = 0x9E3779B97F4A7C15
"""Spreads consecutive positions over the generator's seeds."""


@TASK_UTILS.register_module()
class PositionSampler(RandomSampler):
    """mmdet's RandomSampler whose draws are a function of the image's position in training.

    The global generator would make a draw depend on how many processes there are and on what was drawn before.
    `PositionedDataset` puts the position on `gt_instances`.
    """

    def sample(self, assign_result: Any, pred_instances: Any, gt_instances: Any, **kwargs: Any) -> Any:
        """As RandomSampler; raises StageFailed when the position is missing."""
        if "position" not in gt_instances.metainfo:
            raise StageFailed(
                "PositionSampler needs the sample's position on gt_instances: train through PositionedDataset "
                "(transfer eval does), or use mmdet's RandomSampler in configs of your own."
            )
        self._generator = torch.Generator().manual_seed(gt_instances.position * STREAM % 2**63)
        return super().sample(assign_result, pred_instances, gt_instances, **kwargs)

    def random_choice(self, gallery: Any, num: int) -> Any:
        """`num` of `gallery`, without repetition, in the gallery's own kind."""
        candidates = torch.as_tensor(gallery)
        chosen = torch.randperm(candidates.numel(), generator=self._generator)[:num]
        return candidates[chosen.to(candidates.device)]
