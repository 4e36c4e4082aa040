from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from transfer.backbones.architectures import spec_of
from transfer.datasets.layouts import Split
from transfer.errors import TransferError
from transfer.files.places import load_suites, recipe_path
from transfer.openmmlab.compose import Classes, compose
from transfer.openmmlab.recipes import load_recipe
from transfer.openmmlab.stack import import_stack
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

import_stack()

ARCHS = ("resnet18", "vit_tiny_patch16_224")
"""With levels of several strides and of one: what fits heads to them adds parts of its own."""


def composed_of(recipe: str, arch: str, names: tuple[str, ...] = ("a", "b")) -> Config:
    """A recipe's config on a network of random weights, with data that are nowhere."""
    split = Split(Path("/images"), Path("/annotations"))
    contract = InputContract(IMAGENET_MEAN, IMAGENET_STD)
    return compose(
        load_recipe(recipe_path(recipe), {}),
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
    """The config of every recipe of every shipped suite, on each of ARCHS that its head stands on."""
    recipes = sorted({task.recipe for suite in load_suites() for task in suite.tasks})
    found: dict[str, Config] = {}
    for recipe in recipes:
        for arch in ARCHS:
            try:
                found[f"{recipe} on {arch}"] = composed_of(recipe, arch)
            except TransferError:  # a head for convolutional backbones only
                assert arch != "resnet18"
    return found
