"""Checkpoint × suite → jobs, with the data checked and the configs composed before any training starts."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from transfer.datasets.declaration import find_declaration
from transfer.datasets.layouts import Split
from transfer.datasets.manifest import Manifest
from transfer.datasets.opening import open_splits
from transfer.datasets.preflight import also_in_train, check_split, check_splits
from transfer.datasets.problems import gather
from transfer.datasets.subsets import read_amount, subset_of
from transfer.dedup.overlap import Overlap
from transfer.errors import BadOption, UnknownName
from transfer.files.fingerprint import fingerprint
from transfer.files.places import recipe_path
from transfer.openmmlab.compose import Classes, compose
from transfer.openmmlab.recipes import load_recipe
from transfer.openmmlab.resolved import check_config, holds_config, load_config, relocated, write_config
from transfer.results.curves import SUBSET
from transfer.schemas.mapping import plain
from transfer.schemas.run import RunSpec
from transfer.schemas.suite import Suite, Task
from transfer.stages.convert import Origin
from transfer.stages.exclusion import Exclusion, exclude
from transfer.stages.job import Job, claim
from transfer.stages.score import METRIC_VERSION
from transfer.workflows.leakage import find_leakage

LOOKS_LIKE_TRAIN = "looks_like_train"
"""How many test images show what a training image shows, in a record's data."""


@dataclass(frozen=True)
class Deviations:
    """What a user changes against the suite: fewer tasks or seeds leave cells empty, overrides change the protocol."""

    tasks: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """A task with its recipe (an mmengine config) read and its data checked; `data` is what a record says of it.

    `exclusion` says which test images do not rank.
    """

    task: Task
    recipe: Any
    train: Split
    test: Split
    classes: Classes
    data: Mapping[str, Any]
    exclusion: Exclusion | None


def plan(
    origin: Origin,
    suite: Suite,
    deviations: Deviations,
    work_dir: Path,
    data_root: Path,
    overlaps: Sequence[Overlap] = (),
) -> list[Job]:
    """Jobs of all tasks and seeds. Every problem of data or recipe is raised here, before a step is trained."""
    overrides = _spelled(plain(deviations.overrides))
    tasks = _tasks(suite, deviations)
    ready = gather(partial(_prepare, task, overrides, work_dir, data_root, overlaps) for task in tasks)
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


def _spelled(overrides: dict[str, Any]) -> dict[str, Any]:
    """The same part of the training images has one spelling, and so one protocol. Raises BadOption where it is none."""
    return overrides | ({SUBSET: str(read_amount(overrides[SUBSET]))} if SUBSET in overrides else {})


def _tasks(suite: Suite, deviations: Deviations) -> list[Task]:
    known = [task.name for task in suite.tasks]
    for name in deviations.tasks:
        if name not in known:
            raise UnknownName.among(f"task of suite {suite.name}", name, known)
    return [task for task in suite.tasks if not deviations.tasks or task.name in deviations.tasks]


def _prepare(
    task: Task, overrides: Mapping[str, Any], work_dir: Path, data_root: Path, overlaps: Sequence[Overlap]
) -> Prepared:
    recipe = load_recipe(recipe_path(task.recipe), {key: value for key, value in overrides.items() if key != SUBSET})
    _check_kind(task, recipe.task.kind)
    train, test, manifests, data = _data(recipe.task.dataset, task.kind, overrides.get(SUBSET), work_dir, data_root)
    classes = Classes(manifests[1].classes, manifests[1].category_ids)
    return Prepared(task, recipe, train, test, classes, data, exclude(overlaps, task.name, manifests[1].hashes))


def _data(
    dataset: str, kind: str, subset: str | None, work_dir: Path, data_root: Path
) -> tuple[Split, Split, tuple[Manifest, Manifest], dict[str, Any]]:
    """Checked splits, their manifests, and what a record says of them; all of train is checked, whatever part is used.

    Images of test that stand in train, too, byte by byte or by their looks, are counted in the record: the board's
    readers must know.
    """
    work, cache = work_dir / "data", work_dir / "data" / "preflight.json"
    train, test = open_splits(find_declaration(dataset, data_root), kind, data_root, work)
    manifests = check_splits(train, test, kind, cache)
    leakage = find_leakage(f"{dataset} {kind}", (train, test), manifests, work)
    described: dict[str, dict[str, Any]] = {"train": {}, "test": {}}
    if subset is not None:
        train, chosen = subset_of(train, kind, subset, work)
        manifests = check_split(train, kind, cache), manifests[1]
        size = ", ".join([f"{len(chosen.names):,} images", *chosen.shortfalls])
        print(f"{dataset} ({kind}), --subset {subset}: {size}", file=sys.stderr)
        described["train"] = {"subset": subset, "shortfalls": list(chosen.shortfalls)}
    if leaked := also_in_train(*manifests):
        described["test"] = {"also_in_train": len(leaked)}
    for note in leakage.notes:
        print(f"{dataset} ({kind}): {note}", file=sys.stderr)
    if leakage.leaked:
        described["test"][LOOKS_LIKE_TRAIN] = len(leakage.leaked)
    for part, manifest in zip(("train", "test"), manifests, strict=True):
        described[part] = {"dataset": dataset, "images": manifest.images, "sha256": manifest.sha256, **described[part]}
    return train, test, manifests, described


def _check_kind(task: Task, kind: str) -> None:
    if kind != task.kind:
        raise BadOption(
            f"task {task.name!r} is of kind {task.kind!r}, but its recipe {task.recipe!r} is of kind {kind!r}. "
            f"Change the suite's kind, or name a recipe of kind {task.kind!r}."
        )


def _run(
    origin: Origin,
    suite: Suite,
    prepared: Prepared,
    overrides: Mapping[str, Any],
    seed: int,
) -> RunSpec:
    task, excluded = prepared.task, prepared.exclusion.digest if prepared.exclusion else ""
    work = [plain(prepared.recipe.to_dict()), _hashed(prepared.data)]
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
        protocol=fingerprint([*work, METRIC_VERSION[task.kind], *([excluded] if excluded else [])]),
        excluded=excluded,
    )


def _hashed(data: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What identifies the data: how many test images look like training images follows from their bytes."""
    return {part: {key: value for key, value in said.items() if key != LOOKS_LIKE_TRAIN} for part, said in data.items()}


def _job(run: RunSpec, prepared: Prepared, origin: Origin, work_dir: Path) -> Job:
    kind, names = prepared.task.kind, prepared.classes.names
    return Job(
        work_dir / run.id, run, kind, prepared.test, names, prepared.data, origin.certificate, prepared.exclusion
    )


def _config(prepared: Prepared, origin: Origin, seed: int) -> Any:
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
    check_config(config, f"task {prepared.task.name!r}, recipe {prepared.task.recipe!r} with what --set changes")
    return config


def _write_config(job: Job, config: Any) -> None:
    """A finished fit keeps the config that it was made with, but for where its files lie now."""
    keep = job.model.exists() and holds_config(job.config)
    write_config(job.config, relocated(load_config(job.config), config) if keep else config)
