"""Checkpoint × suite → jobs, with the data checked and the configs composed before any training starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer.datasets.layouts import Split, locate
from transfer.datasets.manifest import Manifest
from transfer.datasets.mini.generate import generate_mini
from transfer.datasets.preflight import check_split
from transfer.errors import BrokenAnnotation, UnknownName
from transfer.openmmlab.compose import Classes, compose, load_recipe
from transfer.spec.files import replacing
from transfer.spec.fingerprint import fingerprint
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


def plan(origin: Origin, suite: Suite, deviations: Deviations, work_dir: Path, data_root: Path) -> list[Job]:
    """Jobs of all tasks and seeds. Every problem of data or recipe is raised here, before a step is trained."""
    tasks = [task for task in suite.tasks if not deviations.tasks or task.name in deviations.tasks]
    for name in deviations.tasks:
        if name not in {task.name for task in suite.tasks}:
            raise UnknownName.among(f"task of suite {suite.name}", name, [task.name for task in suite.tasks])
    return [job for task in tasks for job in _jobs(origin, suite, task, deviations, work_dir, data_root)]


def _jobs(
    origin: Origin, suite: Suite, task: Task, deviations: Deviations, work_dir: Path, data_root: Path
) -> list[Job]:
    recipe = load_recipe(recipe_path(task.recipe), deviations.overrides)
    train, test = _splits(recipe.task.dataset, task.kind, work_dir, data_root)
    cache = work_dir / "data" / "preflight.json"
    manifests = {"train": check_split(train, task.kind, cache), "test": check_split(test, task.kind, cache)}
    classes = _classes(train, test, task.kind, manifests["test"])
    data = {
        part: {"dataset": recipe.task.dataset, "images": manifest.images, "sha256": manifest.sha256}
        for part, manifest in manifests.items()
    }
    protocol = fingerprint([json.loads(json.dumps(recipe.to_dict())), METRIC_VERSION[task.kind], data])
    jobs = []
    for seed in deviations.seeds or suite.seeds:
        run = RunSpec(
            checkpoint=origin.name,
            weights=origin.sha256,
            backbone=origin.backbone.to_json(),
            input=origin.input.to_json(),
            suite=suite.name,
            task=task.name,
            recipe=task.recipe,
            seed=seed,
            overrides=dict(deviations.overrides),
            protocol=protocol,
        )
        job = Job(work_dir / run.id, run, task.kind, test, classes.names, data, origin.certificate)
        config = compose(
            recipe,
            backbone=origin.backbone,
            contract=origin.input,
            weights=origin.weights,
            train=train,
            test=test,
            classes=classes,
            seed=seed,
        )
        claim(job)
        with replacing(job.config) as temporary:
            temporary.write_text(config.pretty_text, encoding="utf-8")
        jobs.append(job)
    return jobs


def _splits(dataset: str, kind: str, work_dir: Path, data_root: Path) -> tuple[Split, Split]:
    if dataset != "mini":
        return locate(dataset, kind, data_root)
    generate_mini(work_dir / "data" / "mini")
    return locate(dataset, kind, work_dir / "data")


def _classes(train: Split, test: Split, kind: str, manifest: Manifest) -> Classes:
    if kind == "miou":
        return Classes(manifest.classes, ())
    in_train, in_test = (_categories(split.annotations) for split in (train, test))
    if in_train != in_test:
        raise BrokenAnnotation(
            f"{train.annotations} and {test.annotations} do not declare the same categories in the same order; "
            f"labels learned on one would be scored as others. First difference: "
            f"{next((pair for pair in zip(in_train, in_test, strict=False) if pair[0] != pair[1]), 'their number')}."
        )
    return Classes(tuple(name for name, _ in in_test), tuple(identity for _, identity in in_test))


def _categories(annotations: Path) -> list[tuple[str, int]]:
    categories = json.loads(annotations.read_text(encoding="utf-8"))["categories"]
    return [(category["name"], category["id"]) for category in categories]
