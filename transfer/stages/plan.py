"""Checkpoint × suite → jobs, with the data checked and the configs composed before any training starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from transfer.datasets.declaration import find_declaration
from transfer.datasets.layouts import Split
from transfer.datasets.manifest import Manifest
from transfer.datasets.opening import open_splits
from transfer.datasets.preflight import check_split
from transfer.errors import BadOption, BrokenAnnotation, UnknownName
from transfer.openmmlab.compose import Classes, compose, load_recipe
from transfer.spec.files import replacing
from transfer.spec.fingerprint import fingerprint
from transfer.spec.mapping import plain
from transfer.spec.places import recipe_path
from transfer.spec.run import RunSpec
from transfer.spec.suite import Suite, Task
from transfer.stages.convert import Origin
from transfer.stages.job import Job, claim
from transfer.stages.score import METRIC_VERSION


@dataclass(frozen=True)
class Deviations:
    """What a user changes against the suite: fewer tasks or seeds leave cells empty, overrides change the protocol."""

    tasks: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """A task with its recipe (an mmengine config) read and its data checked; `data` is what a record says of it."""

    task: Task
    recipe: Any
    train: Split
    test: Split
    classes: Classes
    data: Mapping[str, Any]


def plan(origin: Origin, suite: Suite, deviations: Deviations, work_dir: Path, data_root: Path) -> list[Job]:
    """Jobs of all tasks and seeds. Every problem of data or recipe is raised here, before a step is trained."""
    overrides = plain(deviations.overrides)
    ready = [_prepare(task, overrides, work_dir, data_root) for task in _tasks(suite, deviations)]
    planned = [
        (_job(_run(origin, suite, prepared, overrides, seed), prepared, origin, work_dir), prepared)
        for prepared in ready
        for seed in deviations.seeds or suite.seeds
    ]
    configs = [_config(prepared, origin, job.run.seed) for job, prepared in planned]
    for (job, _), config in zip(planned, configs, strict=True):
        claim(job)
        _write_config(job, config)
    return [job for job, _ in planned]


def _tasks(suite: Suite, deviations: Deviations) -> list[Task]:
    known = [task.name for task in suite.tasks]
    for name in deviations.tasks:
        if name not in known:
            raise UnknownName.among(f"task of suite {suite.name}", name, known)
    return [task for task in suite.tasks if not deviations.tasks or task.name in deviations.tasks]


def _prepare(task: Task, overrides: Mapping[str, Any], work_dir: Path, data_root: Path) -> Prepared:
    recipe = load_recipe(recipe_path(task.recipe), overrides)
    _check_kind(task, recipe.task.kind)
    declared = find_declaration(recipe.task.dataset, data_root)
    train, test = open_splits(declared, task.kind, data_root, work_dir / "data")
    cache = work_dir / "data" / "preflight.json"
    manifests = {"train": check_split(train, task.kind, cache), "test": check_split(test, task.kind, cache)}
    data = {
        part: {"dataset": recipe.task.dataset, "images": manifest.images, "sha256": manifest.sha256}
        for part, manifest in manifests.items()
    }
    return Prepared(task, recipe, train, test, _classes(train, test, manifests), data)


def _check_kind(task: Task, kind: str) -> None:
    if kind != task.kind:
        raise BadOption(
            f"task {task.name!r} is of kind {task.kind!r}, but its recipe {task.recipe!r} is of kind {kind!r}. "
            f"Change the suite's kind, or name a recipe of kind {task.kind!r}."
        )


def _run(origin: Origin, suite: Suite, prepared: Prepared, overrides: Mapping[str, Any], seed: int) -> RunSpec:
    task = prepared.task
    work = [plain(prepared.recipe.to_dict()), prepared.data]
    return RunSpec(
        checkpoint=origin.name,
        weights=origin.sha256,
        backbone=plain(origin.backbone),
        input=plain(origin.input),
        suite=suite.name,
        task=task.name,
        recipe=task.recipe,
        seed=seed,
        overrides=overrides,
        work=fingerprint(work),
        protocol=fingerprint([*work, METRIC_VERSION[task.kind]]),
    )


def _job(run: RunSpec, prepared: Prepared, origin: Origin, work_dir: Path) -> Job:
    kind, names = prepared.task.kind, prepared.classes.names
    return Job(work_dir / run.id, run, kind, prepared.test, names, prepared.data, origin.certificate)


def _config(prepared: Prepared, origin: Origin, seed: int) -> str:
    config = compose(
        prepared.recipe,
        backbone=origin.backbone,
        contract=origin.input,
        weights=origin.weights,
        train=prepared.train,
        test=prepared.test,
        classes=prepared.classes,
        seed=seed,
    )
    return str(config.pretty_text)


def _write_config(job: Job, text: str) -> None:
    """A finished fit keeps the config that it was made with."""
    if job.model.exists() and job.config.exists():
        return
    with replacing(job.config) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _classes(train: Split, test: Split, manifests: Mapping[str, Manifest]) -> Classes:
    in_train, in_test = (_labels(manifests[part]) for part in ("train", "test"))
    if in_train != in_test:
        raise BrokenAnnotation(
            f"{train.annotations} and {test.annotations} do not declare the same categories in the same order; "
            f"labels learned on one would be scored as others. First difference: "
            f"{next((pair for pair in zip(in_train, in_test, strict=False) if pair[0] != pair[1]), 'their number')}."
        )
    return Classes(manifests["test"].classes, manifests["test"].category_ids)


def _labels(manifest: Manifest) -> list[tuple[str, int | None]]:
    """(name, category id) by label; label maps have no ids."""
    return list(zip_longest(manifest.classes, manifest.category_ids))
