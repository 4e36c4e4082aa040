"""scores.json → record.json → leaderboard/records → leaderboard/README.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transfer.board.markdown import build_board
from transfer.files.atomic import replacing, write_json
from transfer.files.places import shipped_suites
from transfer.results.store import record_path, write_record
from transfer.schemas.record import Record
from transfer.schemas.suite import load_suite
from transfer.stages.exclusion import UNKNOWN, without_measuring
from transfer.stages.job import Job
from transfer.stages.score import measure_overlap, score


def record(job: Job) -> Record:
    """Score the predictions and write `record.json`; a record that still describes them is kept as it is."""
    scored = score(job)
    if job.record.exists():
        found = Record.from_json(json.loads(job.record.read_text(encoding="utf-8")))
        if found.predictions == scored["predictions"] and found.scores == scored["scores"] and found.run == job.run:
            return found
        _keep(job, found)
    fitted, predicted = (json.loads(path.read_text(encoding="utf-8")) for path in (job.fit_cost, job.predict_cost))
    result = Record(
        run=job.run,
        scores=scored["scores"],
        certificate=job.certificate,
        data=job.data,
        cost={
            "fit_seconds": fitted["seconds"],
            "predict_seconds": predicted["seconds"],
            "score_seconds": scored["seconds"],
            "images_seen": fitted["images"],
        },
        environment=fitted["environment"],
        predictions=scored["predictions"],
        overlap=_overlap(job),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_json(job.record, result.to_json())
    return result


def _keep(job: Job, found: Record) -> None:
    """A record by an earlier definition of the metric stays beside the new one."""
    if found.run.protocol != job.run.protocol and found.run.excluded == job.run.excluded:
        job.record.replace(job.record.with_name(f"record-{found.run.protocol[:8]}.json"))


def _overlap(job: Job) -> Mapping[str, Any]:
    """What a control or a formula-trained network leaves out to stand beside others, it has still not seen."""
    known = without_measuring(job.run.weights, job.certificate)
    if job.exclusion is None:
        return known
    status = {"status": "measured"} if known == UNKNOWN else known
    return {**status, **measure_overlap(job, job.exclusion)}


def check_publishable(jobs: Iterable[Job], board: Path) -> None:
    """Find out before training that a record could not be put among the leaderboard's.

    Raises BrokenRecord when a damaged or foreign file has its name, BadOption when the name is none.
    """
    for job in jobs:
        record_path(board / "records", job.run)


def publish(result: Record, board: Path) -> Path:
    """Put a record among the leaderboard's."""
    return write_record(board / "records", result)


def keep_suite(path: Path, board: Path) -> None:
    """Copy a suite of the user's own beside the records, so that the board can be built wherever they are."""
    copy = board / "suites" / path.name
    if path.stem not in shipped_suites() and (not copy.exists() or copy.read_bytes() != path.read_bytes()):
        with replacing(copy) as temporary:
            temporary.write_bytes(path.read_bytes())


def rebuild(board: Path) -> Path:
    """Write `README.md` from `records/*.json`."""
    return build_board(board, [load_suite(path) for path in shipped_suites().values()])
