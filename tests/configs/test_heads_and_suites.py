from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

from transfer.datasets.declaration import find_declaration
from transfer.files.places import head_names, head_path, load_suites
from transfer.metrics.registry import METRICS, find_metric
from transfer.openmmlab.head_files import Head, load_head
from transfer.openmmlab.tasks import TASKS, task_type
from transfer.schemas.annotations import ANNOTATIONS
from transfer.schemas.suite import Suite

HEADS: Mapping[str, Head] = {name: load_head(head_path(name)) for name in head_names()}
SIZED = [(name, size) for name, head in HEADS.items() for size in head.sizes]


@pytest.mark.parametrize("name", HEADS)
def test_a_head_says_what_it_is_and_has_every_size(name: str) -> None:
    text = ast.get_docstring(ast.parse(head_path(name).read_text(encoding="utf-8"))) or ""
    assert all(f"{heading}:" in text for heading in ("Data", "Schedule", "Launch", "Expected"))
    assert {"full", "small", "mini"} <= HEADS[name].sizes.keys() and not HEADS[name].sizes["full"]


@pytest.mark.parametrize(("name", "size"), SIZED)
def test_a_docstring_says_the_schedule_of_every_size(name: str, size: str) -> None:
    text = " ".join((ast.get_docstring(ast.parse(head_path(name).read_text(encoding="utf-8"))) or "").split())
    config = HEADS[name].config(size, {})
    said = text.partition(f" {size}: ")[2].partition("Backbone:")[0]
    assert f"{config.train_cfg.max_iters:,} steps of {config.task.images_per_step}" in said
    assert all(scheduler.end <= config.train_cfg.max_iters for scheduler in config.param_scheduler)
    assert config.model.backbone.type == "TransferBackbone"


@pytest.mark.parametrize(("name", "size"), SIZED)
def test_every_argument_of_a_size_is_one_of_the_head(name: str, size: str) -> None:
    head = HEADS[name]
    assert set(head.sizes[size]) <= set(head.arguments)
    assert head.config(size, head.sizes[size]).to_dict() == head.config(size, {}).to_dict()


@pytest.mark.parametrize("name", HEADS)
def test_sizes_are_built_anew_each_time(name: str) -> None:
    first = HEADS[name].config("mini", {})
    first.model.clear()
    assert HEADS[name].config("mini", {}).model


def test_every_metric_scores_what_a_task_type_finds() -> None:
    assert {metric.annotations for metric in METRICS} == {task.annotations for task in TASKS} == set(ANNOTATIONS)


@pytest.mark.parametrize("suite", load_suites(), ids=lambda suite: suite.name)
def test_a_suite_binds_heads_data_and_scores_that_exist(suite: Suite, tmp_path: Path) -> None:
    assert len({task.name for task in suite.tasks}) == len(suite.tasks)
    for task in suite.tasks:
        config = HEADS[task.head].config(task.size, task.arguments)
        metric = find_metric(task.metric)
        assert metric.annotations == task_type(config.task.name).annotations
        assert metric.annotations in find_declaration(task.dataset, tmp_path).annotations
        assert set(task.scores) <= set(metric.scores) and task.scores[0] in metric.headline


def test_every_head_is_in_a_suite() -> None:
    assert {task.head for suite in load_suites() for task in suite.tasks} == set(HEADS)
