from __future__ import annotations

import re

import torch

from transfer.backbones.architectures import spec_of
from transfer.backbones.building import backbone_shapes
from transfer.checkpoints.families.shared.clip_resnet import NAMING, OPTIONS, is_clip_resnet
from transfer.checkpoints.inference.resnet import infer_resnet
from transfer.checkpoints.keys.rules import apply_rules

STEM = {"conv1.0": "conv1", "conv1.1": "bn1", "conv1.3": "conv2", "conv1.4": "bn2", "conv1.6": "conv3", "bn1": "bn3"}


def openais_name(name: str) -> str:
    """Below `visual.`; features are compared in tests/backbones/test_resnet.py and by the clip family's tests."""
    if name.startswith("layer"):
        return re.sub(r"downsample\.(\d)", lambda match: f"downsample.{int(match[1]) - 1}", name)
    module, _, parameter = name.rpartition(".")
    return f"{STEM[module]}.{parameter}"


def test_every_tensor_has_its_place() -> None:
    spec = spec_of("resnet50_clip")
    target = backbone_shapes(spec)
    state = {openais_name(name): tensor for name, tensor in target.items()}
    assert len(state) == len(target) and is_clip_resnet(state)
    renamed = apply_rules(state | {"attnpool.q_proj.weight": torch.zeros(1)}, NAMING.rules)
    assert renamed.shapes == {name: tuple(tensor.shape) for name, tensor in target.items()}
    assert list(renamed.dropped) == ["attnpool.q_proj.weight"]
    assert infer_resnet(renamed.shapes) | OPTIONS == spec.options


def test_other_resnets_are_no_clips() -> None:
    assert not is_clip_resnet(backbone_shapes(spec_of("resnet50")))
    assert not is_clip_resnet(backbone_shapes(spec_of("resnet50d")))
