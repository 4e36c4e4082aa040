"""Focal loss (Lin et al., ICCV 2017)."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from transfer.openmmlab.operators.kernels import wide


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Loss of each of `(N, C)` logits; `target` `(N,)` holds classes, or C for background; `weight` `(C,)` or empty."""
    output.copy_(_focal_loss(wide(input), target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Gradient of the losses' sum to the logits."""
    with torch.enable_grad():
        logits = wide(input.detach()).requires_grad_()
        loss = _focal_loss(logits, target, weight, gamma, alpha).sum()
    grad_input.copy_(torch.autograd.grad(loss, logits)[0])


def _focal_loss(logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float) -> Tensor:
    classes = logits.shape[1]
    wanted = (target[:, None] == torch.arange(classes, device=target.device)).to(logits)
    loss = sigmoid_focal_loss(logits, wanted, alpha, gamma)
    if weight.numel() == 0:
        return loss
    return loss * torch.cat([wide(weight, logits), logits.new_ones(1)])[target][:, None]
