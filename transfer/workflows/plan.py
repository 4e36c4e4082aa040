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
from transfer.files.places import head_path
from transfer.metrics.metric import Metric
from transfer.metrics.registry import METRICS, find_metric
from transfer.openmmlab.allowed import SHIPPED, Vocabulary, vocabulary_of
from transfer.openmmlab.compose import compose
from transfer.openmmlab.head_files import load_head
from transfer.openmmlab.overrides import override
from transfer.openmmlab.resolved import check_config, holds_config, load_config, relocated, write_config
from transfer.openmmlab.tasks import task_type
from transfer.openmmlab.tasks.task_type import Classes, TaskType
from transfer.openmmlab.user_heads import UserHead, check_builds
from transfer.results.curves import SUBSET
from transfer.schemas.mapping import plain
from transfer.schemas.run import RunSpec
from transfer.schemas.suite import Suite, Task
from transfer.stages.convert import Origin
from transfer.stages.exclusion import Exclusion, exclude
from transfer.stages.job import Job, claim
from transfer.workflows.leakage import find_leakage

HEAD = "head"
"""The override that names a head of the user's own."""

LOOKS_LIKE_TRAIN = "looks_like_train"
"""How many test images show what a training image shows, in a record's data."""


@dataclass(frozen=True)
class Deviations:
    """What a user changes against the suite: fewer tasks or seeds leave cells empty, overrides change the protocol.

    `head` is a file of the user's own that takes the place of the heads of its task type.
    """

    tasks: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    head: Path | None = None


@dataclass(frozen=True)
class Prepared:
    """A task with its metric, its head's config (mmengine's) and its data checked; `data` is what a record says of it.

    `exclusion` says which test images do not rank.
    """

    task: Task
    metric: Metric
    head: Any
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
    """Jobs of all tasks and seeds. Every problem of data or head is raised here, before a step is trained."""
    tasks = _tasks(suite, deviations)
    heads, overrides = _heads(tasks, deviations)
    ready = gather(
        partial(_prepare, task, head, overrides, work_dir, data_root, overlaps)
        for task, head in zip(tasks, heads, strict=True)
    )
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


def _heads(tasks: Sequence[Task], deviations: Deviations) -> tuple[list[Any], dict[str, Any]]:
    """The config of each task's head, deviations applied, and the deviations as a run stores them."""
    overrides = _spelled(plain(deviations.overrides))
    heads = [load_head(head_path(task.head)).config(task.size, task.arguments) for task in tasks]
    if deviations.head is not None:
        theirs = UserHead.read(deviations.head)
        heads = theirs.instead_of(heads)
        overrides[HEAD] = theirs.label
    for head in heads:
        override(head, {key: value for key, value in overrides.items() if key not in (SUBSET, HEAD)})
    return heads, overrides


def _prepare(
    task: Task, head: Any, overrides: Mapping[str, Any], work_dir: Path, data_root: Path, overlaps: Sequence[Overlap]
) -> Prepared:
    metric = find_metric(task.metric)
    _check_metric(task, metric, task_type(head.task.name))
    train, test, manifests, data = _data(task.dataset, metric, overrides.get(SUBSET), work_dir, data_root)
    classes = Classes(manifests[1].classes, manifests[1].category_ids)
    exclusion = exclude(overlaps, task.name, manifests[1].hashes)
    return Prepared(task, metric, head, train, test, classes, data, exclusion)


def _data(
    dataset: str, metric: Metric, subset: str | None, work_dir: Path, data_root: Path
) -> tuple[Split, Split, tuple[Manifest, Manifest], dict[str, Any]]:
    """Checked splits, their manifests, and what a record says of them; all of train is checked, whatever part is used.

    Images of test that stand in train, too, byte by byte or by their looks, are counted in the record: the board's
    readers must know.
    """
    work, cache, needed = work_dir / "data", work_dir / "data" / "preflight.json", metric.annotations
    train, test = open_splits(find_declaration(dataset, data_root), needed, data_root, work)
    manifests = check_splits(train, test, needed, cache, metric.fields)
    leakage = find_leakage(f"{dataset} {needed}", (train, test), manifests, work)
    described: dict[str, dict[str, Any]] = {"train": {}, "test": {}}
    if subset is not None:
        train, chosen = subset_of(train, needed, subset, work)
        manifests = check_split(train, needed, cache, metric.fields), manifests[1]
        size = ", ".join([f"{len(chosen.names):,} images", *chosen.shortfalls])
        print(f"{dataset} ({needed}), --subset {subset}: {size}", file=sys.stderr)
        described["train"] = {"subset": subset, "shortfalls": list(chosen.shortfalls)}
    if leaked := also_in_train(*manifests):
        described["test"] = {"also_in_train": len(leaked)}
    for note in leakage.notes:
        print(f"{dataset} ({needed}): {note}", file=sys.stderr)
    if leakage.leaked:
        described["test"][LOOKS_LIKE_TRAIN] = len(leakage.leaked)
    for part, manifest in zip(("train", "test"), manifests, strict=True):
        described[part] = {"dataset": dataset, "images": manifest.images, "sha256": manifest.sha256, **described[part]}
    return train, test, manifests, described


def _check_metric(task: Task, metric: Metric, head: TaskType) -> None:
    if metric.annotations != head.annotations:
        known = [each.name for each in METRICS if each.annotations == head.annotations]
        raise BadOption(
            f"task {task.name!r} is scored by {metric.name!r}, but its head {task.head!r} is for {head.name}, which "
            f"{' and '.join(map(repr, known))} score. Change the task's metric, or name another head."
        )


def _run(
    origin: Origin,
    suite: Suite,
    prepared: Prepared,
    overrides: Mapping[str, Any],
    seed: int,
) -> RunSpec:
    task, excluded = prepared.task, prepared.exclusion.digest if prepared.exclusion else ""
    work = fingerprint([plain(prepared.head.to_dict()), _hashed(prepared.data)])
    return RunSpec(
        checkpoint=origin.name,
        weights=origin.sha256,
        backbone=plain(origin.backbone),
        input=plain(origin.input),
        suite=suite.name,
        task=task.name,
        dataset=task.dataset,
        **_named(prepared),
        seed=seed,
        overrides=overrides,
        work=work,
        protocol=protocol_of(work, prepared.metric, excluded),
        excluded=excluded,
    )


def protocol_of(work: str, metric: Metric, excluded: str) -> str:
    """Return the protocol of what is trained and predicted (its fingerprint `work`) and how that is scored."""
    return fingerprint([work, metric.definition, *([excluded] if excluded else [])])


def _named(prepared: Prepared) -> dict[str, Any]:
    """The head by its name, size and arguments, or one of the user's own by its file."""
    task, file = prepared.task, prepared.head.task.get("file")
    if file is not None:
        return {"head": file, "size": "", "arguments": {}}
    return {"head": task.head, "size": task.size, "arguments": plain(task.arguments)}


def _hashed(data: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What identifies the data: how many test images look like training images follows from their bytes."""
    return {part: {key: value for key, value in said.items() if key != LOOKS_LIKE_TRAIN} for part, said in data.items()}


def _job(run: RunSpec, prepared: Prepared, origin: Origin, work_dir: Path) -> Job:
    task, names = prepared.task, prepared.classes.names
    given = prepared.test, names, prepared.data, origin.certificate, prepared.exclusion, task
    return Job(work_dir / run.id, run, prepared.metric, *given, _vocabulary(prepared))


def _vocabulary(prepared: Prepared) -> Vocabulary:
    """A head of the user's own is Python that they chose to run, and may name more than the shipped ones."""
    return SHIPPED | vocabulary_of(prepared.head.to_dict()) if "file" in prepared.head.task else SHIPPED


def _config(prepared: Prepared, origin: Origin, seed: int) -> Any:
    config = compose(
        prepared.head,
        backbone=origin.backbone,
        contract=origin.input,
        weights=origin.weights,
        train=prepared.train,
        test=prepared.test,
        classes=prepared.classes,
        seed=seed,
    )
    where = f"task {prepared.task.name!r}, head {_named(prepared)['head']!r} with what --set changes"
    check_config(config, where, _vocabulary(prepared))
    if "file" in prepared.head.task:
        check_builds(config)
    return config


def _write_config(job: Job, config: Any) -> None:
    """A finished fit keeps the config that it was made with, but for where its files lie now."""
    keep = job.model.exists() and holds_config(job.config)
    write_config(job.config, relocated(load_config(job.config, job.vocabulary), config) if keep else config)
