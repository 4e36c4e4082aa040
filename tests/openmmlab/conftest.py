from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from tests.openmmlab.head_configs import SIZED, head_config
from transfer.backbones.architectures import spec_of
from transfer.datasets.layouts import Split
from transfer.errors import TransferError
from transfer.openmmlab.compose import compose
from transfer.openmmlab.stack import import_stack
from transfer.openmmlab.tasks.task_type import Classes
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

import_stack()

ARCHS = ("resnet18", "vit_tiny_patch16_224")
"""With levels of several strides and of one: what fits heads to them adds parts of its own."""


def composed_of(head: str, arch: str, names: tuple[str, ...] = ("a", "b")) -> Config:
    """A head's config, at a size, on a network of random weights, with data that are nowhere."""
    split = Split(Path("/images"), Path("/annotations"))
    contract = InputContract(IMAGENET_MEAN, IMAGENET_STD)
    return compose(
        head_config(head),
        backbone=spec_of(arch),
        contract=contract,
        weights=Path("/weights"),
        train=split,
        test=split,
        classes=Classes(names, tuple(range(1, len(names) + 1))),
        seed=0,
    )


@pytest.fixture(scope="session")
def composed() -> dict[str, Config]:
    """The config of every head at every size, on each of ARCHS that it stands on."""
    found: dict[str, Config] = {}
    for head in SIZED:
        for arch in ARCHS:
            try:
                found[f"{head} on {arch}"] = composed_of(head, arch)
            except TransferError:  # a head for convolutional backbones only
                assert arch != "resnet18"
    return found
