"""What batch normalisation does while fine-tuning: the policies that a recipe chooses from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from transfer.errors import UnknownName


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch statistics over the batches of all processes, on any device (torch's SyncBatchNorm refuses CPUs).

    In evaluation, and in a single process, it is `nn.BatchNorm2d`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """`(B, C, H, W)` → the same shape."""
        if not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(input)
        count = _sum_over_processes(input.new_tensor(input.numel() / input.shape[1]))
        mean = _sum_over_processes(input.sum((0, 2, 3))) / count
        centred = input - mean[:, None, None]
        variance = _sum_over_processes(centred.square().sum((0, 2, 3))) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return centred * scale[:, None, None] + self.bias[:, None, None]

    def _track(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(unbiased_variance, share)


class FixedBatchNorm2d(nn.BatchNorm2d):
    """Always the stored statistics, never the batch's."""

    def train(self, mode: bool = True) -> FixedBatchNorm2d:
        """Stay in evaluation."""
        super().train(False)
        return self


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:  # noqa: ARG004
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]  # noqa: ARG004
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


def _sum_over_processes(value: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(value)
    return total


POLICIES = ("sync", "eval", "frozen")
"""`sync`: statistics of the global batch. `eval`: stored statistics, scale and shift are trained. `frozen`: nothing."""


def convert_norms(module: nn.Module, policy: str, processes: int) -> nn.Module:
    """Give every BatchNorm2d below `module` the policy; parameters and names stay. Raises UnknownName."""
    if policy not in POLICIES:
        raise UnknownName.among("norm policy", policy, POLICIES)
    if policy != "sync":
        module = _replace(module, FixedBatchNorm2d, train_affine=policy == "eval")
        return module.train(module.training)
    if processes == 1:
        return module
    if torch.cuda.is_available():
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    return _replace(module, GlobalBatchNorm2d, train_affine=True)


def _replace(module: nn.Module, norm: Callable[..., nn.BatchNorm2d], train_affine: bool) -> nn.Module:
    if isinstance(module, nn.BatchNorm2d):
        return _converted(module, norm, train_affine)
    for name, child in module.named_children():
        setattr(module, name, _replace(child, norm, train_affine))
    return module


def _converted(old: nn.BatchNorm2d, norm: Callable[..., nn.BatchNorm2d], train_affine: bool) -> nn.BatchNorm2d:
    new = norm(old.num_features, old.eps, old.momentum, old.affine, old.track_running_stats)
    new._parameters, new._buffers = old._parameters, old._buffers
    for parameter in new.parameters():
        parameter.requires_grad_(parameter.requires_grad and train_affine)
    return new
