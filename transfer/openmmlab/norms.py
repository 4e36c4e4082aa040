"""Batch normalisation by policy: whose statistics are used, and whether scale and shift are trained.

| policy   | statistics                                            | scale and shift |
|----------|-------------------------------------------------------|-----------------|
| `frozen` | the checkpoint's                                      | kept            |
| `eval`   | the checkpoint's                                      | trained         |
| `sync`   | of the batch, over all processes, and running averages | trained         |
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from mmengine.device import get_device
from timm.layers import BatchNormAct2d, SyncBatchNormAct
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from transfer.errors import BadOption, UnknownName

POLICIES = ("frozen", "eval", "sync")
Kinds: TypeAlias = dict[type[_BatchNorm], type[_BatchNorm]]


def convert_norms(module: nn.Module, policy: str, processes: int | None = None) -> nn.Module:
    """Apply `policy` to every batch normalisation in `module`, in place: modules, parameters and buffers stay.

    `processes` is the number of training processes (default: of the running process group). Returns `module`.
    Raises UnknownName for another policy, BadOption for a batch normalisation that the policy cannot be applied to.
    """
    if policy not in POLICIES:
        raise UnknownName.among("norm policy", policy, POLICIES)
    if policy == "sync" and (_processes() if processes is None else processes) == 1:
        return module
    kinds = EVALUATING if policy != "sync" else GLOBAL if get_device() == "cpu" else SYNCHRONISED
    for name, child in module.named_modules():
        if isinstance(child, _BatchNorm) and type(child) not in kinds.values():
            _specialise(child, name or "the module", policy, kinds)
    return module


def _specialise(norm: _BatchNorm, name: str, policy: str, kinds: Kinds) -> None:
    """Make `norm` the subclass that `kinds` has for its class; a new object would leave references to the old one."""
    if type(norm) not in kinds:
        known = " and ".join(kind.__name__ for kind in kinds)
        raise BadOption(
            f"norm policy {policy!r} can be applied to {known}, but {name} is a {type(norm).__name__}. "
            "Choose a network with one of those, or another policy."
        )
    norm.__class__ = kinds[type(norm)]
    if policy != "sync":
        norm.eval()
    if policy == "frozen":
        norm.requires_grad_(False)


class EvalBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that stays in evaluation mode."""

    def train(self, mode: bool = True) -> EvalBatchNorm2d:
        """Do nothing."""
        return super().train(False)


class EvalBatchNormAct2d(BatchNormAct2d):
    """timm's batch normalisation with activation, which stays in evaluation mode."""

    def train(self, mode: bool = True) -> EvalBatchNormAct2d:
        """Change only the dropout inside."""
        super().train(mode)
        self.training = False
        return self


class SyncBatchNorm2d(nn.SyncBatchNorm):
    """torch's batch normalisation over the batch of all processes, for GPUs only."""

    process_group = None


class SyncBatchNormAct2d(SyncBatchNormAct):
    """timm's, with activation."""

    process_group = None


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the batch of all processes, on any device; nn.BatchNorm2d in a single process."""

    def forward(self, input: Tensor) -> Tensor:
        """`(B, C, H, W)` → the same shape."""
        return _normalise_globally(self, input) if _is_global(self) else super().forward(input)


class GlobalBatchNormAct2d(BatchNormAct2d):
    """timm's batch normalisation with activation, over the batch of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` → the same shape."""
        return self.act(self.drop(_normalise_globally(self, x))) if _is_global(self) else super().forward(x)


EVALUATING: Kinds = {nn.BatchNorm2d: EvalBatchNorm2d, BatchNormAct2d: EvalBatchNormAct2d}
SYNCHRONISED: Kinds = {nn.BatchNorm2d: SyncBatchNorm2d, BatchNormAct2d: SyncBatchNormAct2d}
GLOBAL: Kinds = {nn.BatchNorm2d: GlobalBatchNorm2d, BatchNormAct2d: GlobalBatchNormAct2d}


def _processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _is_global(norm: _BatchNorm) -> bool:
    return norm.training and _processes() > 1


def _normalise_globally(norm: _BatchNorm, images: Tensor) -> Tensor:
    """Statistics in at least float32, as SyncBatchNorm; processes may hold images of different number and size."""
    wide = images.to(torch.promote_types(images.dtype, torch.float32))
    variance, mean = torch.var_mean(wide, (0, 2, 3), correction=0)
    share = mean.new_tensor(images.numel() / images.shape[1])
    count = _SumOverProcesses.apply(share)
    global_mean = _SumOverProcesses.apply(mean * share) / count
    # Deviations from the global mean instead of a difference of squares, which would cancel in float32.
    global_variance = _SumOverProcesses.apply((variance + (mean - global_mean) ** 2) * share) / count
    _update_running_averages(norm, global_mean.detach(), global_variance.detach() * count / (count - 1))
    normalised = (wide - _wide(global_mean)) * _wide(torch.rsqrt(global_variance + norm.eps))
    if norm.affine:
        normalised = normalised * _wide(norm.weight) + _wide(norm.bias)
    return normalised.to(images.dtype)


def _wide(channels: Tensor) -> Tensor:
    """`(C,)` → `(C, 1, 1)`."""
    return channels[:, None, None]


@torch.no_grad()
def _update_running_averages(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """As nn.BatchNorm2d: `variance` is the unbiased one, no momentum means a cumulative average."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked += 1
    momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), momentum)


class _SumOverProcesses(torch.autograd.Function):
    """All-reduce; the total loss is the sum of the processes' losses, so its gradient is all-reduced too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total
