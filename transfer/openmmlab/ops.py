"""mmcv's compiled operators by way of torchvision, under the names and signatures of `mmcv._ext` (mmcv/ops/*.py).

As there, results are written into tensors that the caller allocated. Half precision is computed in float32, float64
stays; CPU and CUDA alike.
"""

from __future__ import annotations

import torch

from transfer.openmmlab.operators.deformable import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from transfer.openmmlab.operators.focal import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward
from transfer.openmmlab.operators.regions import (
    roi_align_backward,
    roi_align_forward,
    roi_pool_backward,
    roi_pool_forward,
)
from transfer.openmmlab.operators.suppression import nms, softnms


def get_compiler_version() -> str:
    """There was no compiler."""
    return "none (operators by torchvision)"


def get_compiling_cuda_version() -> str:
    """The CUDA version torch was built for."""
    return torch.version.cuda or "not available"


_ALL = (
    nms,
    softnms,
    roi_align_forward,
    roi_align_backward,
    roi_pool_forward,
    roi_pool_backward,
    deform_conv_forward,
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    modulated_deform_conv_forward,
    modulated_deform_conv_backward,
    sigmoid_focal_loss_forward,
    sigmoid_focal_loss_backward,
    get_compiler_version,
    get_compiling_cuda_version,
)
OPERATORS = {operator.__name__: operator for operator in _ALL}
"""All that the stand-in for `mmcv._ext` offers, by name."""
