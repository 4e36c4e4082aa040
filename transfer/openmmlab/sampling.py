"""Sampling of anchors and proposals that is the same in one process and in several."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.models.task_modules.samplers import RandomSampler, SamplingResult
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from transfer.errors import BadOption


@TASK_UTILS.register_module()
class PositionSampler(RandomSampler):
    """mmdet's RandomSampler, whose draws are a function of (`salt`, position of the image in the training order).

    RandomSampler draws from the process's generator, whose state depends on which images this process had before.
    Every candidate gets a hash and those with the smallest are taken, so that one candidate more or less (by rounding)
    changes at most one draw. The position is `gt_instances.position`, set by the data set.
    """

    def __init__(self, *args: Any, salt: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.salt = salt

    def sample(
        self, assign_result: AssignResult, pred_instances: InstanceData, gt_instances: InstanceData, **kwargs: Any
    ) -> SamplingResult:
        """As BaseSampler. Raises BadOption where the image has no position."""
        position = gt_instances.metainfo.get("position")
        if position is None:
            raise BadOption(
                "PositionSampler needs gt_instances.position, the number of the sample since the start of training; "
                f"found only {sorted(gt_instances.metainfo) or 'no metainfo'}. Wrap the training data set in "
                "PositionedDataset, or use RandomSampler."
            )
        return super().sample(assign_result, pred_instances, gt_instances, position=int(position), **kwargs)

    def _sample_pos(self, assign_result: AssignResult, num_expected: int, *, position: int, **kwargs: Any) -> Tensor:
        return self._draw(assign_result.gt_inds > 0, num_expected, position)

    def _sample_neg(self, assign_result: AssignResult, num_expected: int, *, position: int, **kwargs: Any) -> Tensor:
        return self._draw(assign_result.gt_inds == 0, num_expected, position)

    def _draw(self, candidates: Tensor, number: int, position: int) -> Tensor:
        """Indices of at most `number` true entries of `candidates` `(N,)`."""
        indices = candidates.nonzero().squeeze(1)
        if len(indices) <= number:
            return indices
        return indices[hashed(self.salt, position, indices).topk(number, largest=False).indices]


def hashed(salt: int, position: int, indices: Tensor) -> Tensor:
    """Return an int64 hash of (`salt`, `position`, index) for each of the int64 `indices`, on their device.

    Numbers of the splitmix64 generator (Steele, Lea and Flood, OOPSLA 2014) whose state a hash of `salt` and `position`
    begins: `indices` are multiplied by an odd number and mixed by a bijection of 64 bits, so no two hashes of one image
    are equal. Products wrap around alike on every device.
    """
    start = int(np.random.SeedSequence([salt, position]).generate_state(1, np.uint64)[0])
    mixed = indices * GOLDEN
    mixed += _signed(start)
    for shift, factor in ROUNDS:
        mixed ^= _shifted(mixed, shift)
        mixed *= factor
    return mixed.bitwise_xor_(_shifted(mixed, 31))


def _signed(value: int) -> int:
    """Return the int64 that has the bits of the unsigned `value`."""
    return value - (value >> 63 << 64)


def _shifted(values: Tensor, bits: int) -> Tensor:
    """Return `values` shifted to the right with zeros, where int64 repeats the sign."""
    return (values >> bits).bitwise_and_((1 << (64 - bits)) - 1)


GOLDEN = _signed(0x9E3779B97F4A7C15)
ROUNDS = ((30, _signed(0xBF58476D1CE4E5B9)), (27, _signed(0x94D049BB133111EB)))
