"""Losses averaged over a whole step, however its images are spread over processes.

OpenMMLab divides most losses by a number of its own process: sampled anchors, positives, regions, labelled pixels. With
two processes an average over 3 and one over 300 would then count alike. DistributedDataParallel takes the mean of the
processes' gradients, so each process has to divide its sum by the mean over processes instead:
mean_r(sum_r / mean_r(n_r)) = sum over the step / n of the step.

Every process of a step enters the same collectives in the same order, also one whose images have no object: mmdet
skips the loss then, so nothing here may wait for that call.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from mmdet.models.dense_heads import AnchorHead, FCOSHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor, nn


@MODEL_WRAPPERS.register_module()
class StepDataParallel(MMDistributedDataParallel):
    """mmengine's DistributedDataParallel of a model whose losses are averages over the step.

    `unknown_averages` names the classes of its heads of which nothing here knows how they average.
    """

    def __init__(self, module: nn.Module, **options: Any) -> None:
        super().__init__(average_over_steps(module), **options)
        self.unknown_averages = unknown_averages(module)


def average_over_steps(model: nn.Module) -> nn.Module:
    """Make the losses in `model` averages over the step, in place, and return it.

    The heads' classes are replaced, so modules, parameters and configs stay as they are.
    """
    for module in model.modules():
        for step in STEPS:
            if step.fits(module):
                module.__class__ = type(f"Step{type(module).__name__}", (step, type(module)), {})
    return model


def unknown_averages(model: nn.Module) -> list[str]:
    """Return the classes of detection heads in `model` that average in a way of their own, in alphabetical order."""
    heads = (BaseDenseHead, BBoxHead, FCNMaskHead)
    return sorted({type(m).__name__ for m in model.modules() if isinstance(m, heads) and not _is_known(m)})


def _is_known(module: nn.Module) -> bool:
    return isinstance(module, STEPS) or any(step.fits(module) for step in STEPS)


def mean_over_processes(number: Tensor) -> Tensor:
    """Return the mean of a count, a scalar of integers, over all processes; its device stays."""
    total = number.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def share_of_mean(number: Tensor) -> Tensor:
    """Return this process's count divided by the mean over processes; 0 where no process has any."""
    return number / mean_over_processes(number).clamp(min=1 / dist.get_world_size())


class Step:
    """A mixin for heads of OpenMMLab's class `BASE` that average as it does, that is, whose `METHOD` is its."""

    BASE: type
    METHOD: str

    @classmethod
    def fits(cls, module: Any) -> bool:
        """Return whether the mixin can be put before the class of `module`."""
        own = getattr(type(module), cls.METHOD, None)
        return isinstance(module, cls.BASE) and own is getattr(cls.BASE, cls.METHOD)


class StepAnchors(Step, AnchorHead):
    """Heads on anchors, RPN and RetinaNet: the divisor is the number of sampled anchors, of positive ones."""

    BASE, METHOD = AnchorHead, "get_targets"

    def get_targets(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return mmdet's targets; the fifth, the divisor of all losses, is the mean over processes."""
        labels, label_weights, boxes, box_weights, divisor, *others = super().get_targets(*args, **kwargs)
        divisor = mean_over_processes(torch.as_tensor(divisor, device=labels[0].device))
        return labels, label_weights, boxes, box_weights, divisor, *others


class StepPoints(Step, FCOSHead):
    """FCOS: mmdet takes means over processes itself, but calls a mean below one positive per process 1.

    A step has at least one positive or is divided by 1; one per process is more. (The other divisor, the sum of
    centerness, is cut off at 1e-6, which no positive's centerness reaches.)
    """

    BASE, METHOD = FCOSHead, "loss_by_feat"

    def get_targets(self, *args: Any, **kwargs: Any) -> tuple[list[Tensor], list[Tensor]]:
        """Return mmdet's targets, and count the positives."""
        labels, boxes = super().get_targets(*args, **kwargs)
        positives = sum(((level >= 0) & (level < self.num_classes)).sum() for level in labels)
        self._mean_positives = mean_over_processes(torch.as_tensor(positives))
        return labels, boxes

    def loss_by_feat(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return mmdet's losses; those that are divided by the number of positives, by the step's."""
        losses = super().loss_by_feat(*args, **kwargs)
        taken = self._mean_positives.clamp(min=1)
        factor = taken / self._mean_positives.clamp(min=1 / dist.get_world_size())
        return {name: loss if name == "loss_bbox" else loss * factor for name, loss in losses.items()}


class StepRegions(Step, BBoxHead):
    """Box heads: both losses are divided by the number of sampled regions."""

    BASE, METHOD = BBoxHead, "loss"

    def loss(
        self, cls_score: Tensor, bbox_pred: Tensor, rois: Tensor, labels: Tensor, *targets: Any, **options: Any
    ) -> dict[str, Tensor]:
        """Return mmdet's losses weighted by this process's share of the regions."""
        losses = super().loss(cls_score, bbox_pred, rois, labels, *targets, **options)
        if not len(labels):  # mmdet has no such loss then, but the other processes wait for its gradient
            losses["loss_cls"] = cls_score.sum()
        share = share_of_mean(torch.tensor(len(labels), device=labels.device))
        return {name: loss * share if name.startswith("loss") else loss for name, loss in losses.items()}


class StepMasks(Step, FCNMaskHead):
    """Mask heads: the loss is the mean over the positive regions."""

    BASE, METHOD = FCNMaskHead, "loss_and_target"

    def loss_and_target(self, mask_preds: Tensor, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return mmdet's loss and targets, the loss weighted by this process's share of the positives."""
        found = super().loss_and_target(mask_preds, *args, **kwargs)
        share = share_of_mean(torch.tensor(len(mask_preds), device=mask_preds.device))
        return {**found, "loss_mask": {name: loss * share for name, loss in found["loss_mask"].items()}}


class StepPixels(Step, CrossEntropyLoss):
    """Segmentation that averages over labelled pixels; all pixels of equal crops, mmseg's default, need no mixin."""

    BASE, METHOD = CrossEntropyLoss, "forward"

    @classmethod
    def fits(cls, module: Any) -> bool:
        """Return whether the divisor depends on the labels."""
        softmax = super().fits(module) and not (module.use_sigmoid or module.use_mask)
        return bool(softmax and (module.avg_non_ignore or module.class_weight is not None))

    def forward(self, cls_score: Tensor, label: Tensor, *args: Any, ignore_index: int = -100, **kwargs: Any) -> Tensor:
        """Return mmseg's loss, divided by the mean number, or weight, of labelled pixels."""
        labelled = label[label != ignore_index]
        weights = None if self.class_weight is None else cls_score.new_tensor(self.class_weight)
        number = torch.tensor(len(labelled), device=label.device) if weights is None else weights[labelled].sum()
        divisor = mean_over_processes(number)
        return super().forward(cls_score, label, *args, avg_factor=divisor, ignore_index=ignore_index, **kwargs)


STEPS = (StepAnchors, StepPoints, StepRegions, StepMasks, StepPixels)
"""How each kind of head takes its averages over a step."""
