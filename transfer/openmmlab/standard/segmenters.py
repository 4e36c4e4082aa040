"""Segmenters: one head on the backbone's last map or on all of them, without auxiliary heads and without dropout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Config = dict[str, Any]
CONVOLUTIONS = {"dropout_ratio": 0.0, "norm_cfg": {"type": "BN", "requires_grad": True}}
"""What heads of several convolutions have: norms, no dropout, so that processes draw nothing of their own."""


def segmenter(
    head: Mapping[str, Any],
    crop: tuple[int, int],
    *,
    backbone: Mapping[str, Any] | None = None,
    test_size: tuple[int, int] | None = None,
) -> Config:
    """Return a model of mmseg that is trained on crops and tested on whole images, padded to `test_size` if given.

    255 is what no loss sees.
    """
    padding = {} if test_size is None else {"test_cfg": {"size": test_size}}
    loss = {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0}
    return {
        "type": "EncoderDecoder",
        "data_preprocessor": {
            "type": "SegDataPreProcessor", "size": crop, "pad_val": 0, "seg_pad_val": 255, **padding
        },
        "backbone": {"type": "TransferBackbone", "frozen_stages": -1, "norm": "sync", **(backbone or {})},
        "decode_head": {"in_index": -1, "align_corners": False, **head, "loss_decode": loss},
        "train_cfg": {},
        "test_cfg": {"mode": "whole"},
    }  # fmt: skip
