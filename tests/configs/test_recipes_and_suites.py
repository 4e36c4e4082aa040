from __future__ import annotations

import ast
from pathlib import Path

import pytest

from transfer.datasets.declaration import find_declaration
from transfer.files.places import load_suites, recipe_names, recipe_path
from transfer.openmmlab.recipes import load_recipe
from transfer.schemas.suite import KINDS, Suite

BOXES = {"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"}
SCORES = {
    "bbox": BOXES,
    "segm": BOXES | {f"bbox/{score}" for score in BOXES},
    "voc": {"AP50", "AP50_07", "AP_07", "AP75_07"},
    "keypoints": {"AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"},
    "miou": {"mIoU", "aAcc", "mAcc"},
}


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_says_what_it_is(name: str) -> None:
    text = ast.get_docstring(ast.parse(recipe_path(name).read_text(encoding="utf-8"))) or ""
    assert all(f"{heading}:" in text for heading in ("Data", "Schedule", "Launch", "Expected"))
    config = load_recipe(recipe_path(name), {})
    assert f"{config.train_cfg.max_iters:,} steps of {config.task.images_per_step}" in text.replace("\n", " ")
    assert all(scheduler.end <= config.train_cfg.max_iters for scheduler in config.param_scheduler)


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_declares_data_that_exist(name: str, tmp_path: Path) -> None:
    config = load_recipe(recipe_path(name), {})
    assert config.task.kind in KINDS
    assert config.task.kind in find_declaration(config.task.dataset, tmp_path).kinds
    assert config.model.backbone.type == "TransferBackbone"


@pytest.mark.parametrize("suite", load_suites(), ids=lambda suite: suite.name)
def test_a_suite_uses_recipes_and_scores_that_exist(suite: Suite) -> None:
    assert len({task.name for task in suite.tasks}) == len(suite.tasks)
    for task in suite.tasks:
        recipe = load_recipe(recipe_path(task.recipe), {})
        assert recipe.task.kind == task.kind
        assert set(task.scores) <= SCORES[task.kind]


def test_every_recipe_is_in_a_suite() -> None:
    assert {task.recipe for suite in load_suites() for task in suite.tasks} == set(recipe_names())
