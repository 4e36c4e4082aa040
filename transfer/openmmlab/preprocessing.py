"""Detection images of one step padded alike in every process."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.registry import MODELS
from torch import Tensor
from torch.nn import functional


@MODELS.register_module()
class StepDetDataPreprocessor(DetDataPreprocessor):
    """mmdet's preprocessor, which pads images to the largest of the batch; here, of the step's global batch.

    Otherwise padding, and with it batch statistics and the numbering of anchors, would depend on how images are spread
    over processes.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Normalised `(B, 3, H, W)` images under `inputs`, and their data samples."""
        data = super().forward(data, training)
        if training and dist.is_initialized():
            data["inputs"] = pad_to(data["inputs"], largest_over_processes(data["inputs"]), self.pad_value)
            for sample in data["data_samples"]:  # an image's own `pad_shape` says which anchors are valid, and stays
                sample.set_metainfo({"batch_input_shape": tuple(data["inputs"].shape[-2:])})
        return data


def largest_over_processes(images: Tensor) -> tuple[int, int]:
    """Height and width that hold the images of every process."""
    size = torch.tensor(images.shape[-2:], device=images.device)
    dist.all_reduce(size, dist.ReduceOp.MAX)
    height, width = size.tolist()
    return height, width


def pad_to(images: Tensor, size: tuple[int, int], value: float) -> Tensor:
    """`(B, 3, H, W)` padded at the bottom and right to `size`."""
    height, width = (wanted - had for wanted, had in zip(size, images.shape[-2:], strict=True))
    return functional.pad(images, (0, width, 0, height), value=value)
