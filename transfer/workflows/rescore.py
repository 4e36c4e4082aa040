"""Finished runs, scored again from their saved predictions: for a metric whose definition has changed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfer.errors import RunError, TransferError
from transfer.schemas.record import Record
from transfer.stages.job import Job, claim, in_use
from transfer.stages.publish import publish, rebuild, record
from transfer.stages.score import identify
from transfer.stages.snapshots import write_curve
from transfer.workflows.finished import open_finished
from transfer.workflows.plan import protocol_of

ROUNDING = 1e-9
"""Scores differ by less on another machine."""


def rescore(work_dir: Path, board: Path) -> str:
    """Score every finished run below `work_dir` again; publish those whose metric is defined anew.

    Earlier scores and records stay beside the new ones in the run's folder. Returns a line for each run. Raises
    RunError with all of these lines where a run could not be scored, or where other scores came out under the same
    definition; the others are scored even so.
    """
    folders = sorted(path.parent for path in work_dir.glob("*/record.json"))
    if not folders:
        raise RunError(f"{work_dir} holds no finished run. Name the folder that `transfer eval` had as --work-dir.")
    outcomes = [_outcome(folder, board) for folder in folders]
    rebuild(board)
    text = "\n".join(f"{folder.name}: {said}" for folder, (_, said) in zip(folders, outcomes, strict=True))
    if not all(well for well, _ in outcomes):
        raise RunError(text)
    return text


def _outcome(folder: Path, board: Path) -> tuple[bool, str]:
    """Whether all is well, and what there is to say."""
    try:
        return True, _rescore(folder, board)
    except TransferError as error:
        return False, f"not scored: {error}"


def _rescore(folder: Path, board: Path) -> str:
    done = open_finished(folder)
    old = Record.from_json(json.loads((folder / "record.json").read_text(encoding="utf-8")))
    known = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    if done.run.excluded:
        return "left as it is: it leaves out test images. Score it with the `transfer eval ... --exclude` that made it."
    job = Job(folder, done.run, done.metric, done.test, done.classes, old.data, old.certificate, task=done.task)
    with in_use(job):
        if identify(job.predictions) != old.predictions:
            raise RunError(f"{job.predictions} is not what its record was scored from. Run its `transfer eval` again.")
        if known["metric"] == done.metric.definition:
            return _check_same(job, known["scores"])
        protocol = protocol_of(done.run.work, done.metric, done.run.excluded)
        return _define_anew(replace(job, run=replace(done.run, protocol=protocol)), old, board)


def _check_same(job: Job, known: Mapping[str, float]) -> str:
    """A number that changed under the same definition would stand beside others of its column as if it were one."""
    found = job.metric.evaluate(job.files)
    if changed := [name for name in {**known, **found} if not _equal(known.get(name), found.get(name))]:
        raise RunError(
            f"{', '.join(changed)} came out otherwise under the same definition of {job.metric.name!r}: "
            f"{changed[0]} {found.get(changed[0])}, it was {known.get(changed[0])}. Nothing was written. "
            f"Update this program, or give the metric another definition."
        )
    return "unchanged"


def _equal(known: Any, found: Any) -> bool:
    return None not in (known, found) and math.isclose(known, found, rel_tol=0, abs_tol=ROUNDING)


def _define_anew(job: Job, old: Record, board: Path) -> str:
    claim(job)
    result = record(job)
    publish(result, board)
    write_curve(job)
    first = next(iter(result.scores))
    before = f"{100 * old.scores[first]:.2f} → " if first in old.scores else ""
    return f"{first} {before}{100 * result.scores[first]:.2f} ({job.metric.definition})"
