"""Store records as files: one JSON per run, written atomically, read back checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transfer.errors import BadOption, BrokenRecord
from transfer.files.atomic import write_json
from transfer.results.schema import parse_record
from transfer.schemas.record import SCHEMA, Record
from transfer.schemas.run import RunSpec


def write_record(folder: Path, record: Record) -> Path:
    """Write `<run.record_name>.json` atomically; an identical file stays, one of the same run is replaced."""
    value = record.to_json()
    parse_record(value, f"record of {record.run.id}")
    path = record_path(folder, record.run)
    if not path.exists() or read_record(path).to_json() != value:
        write_json(path, value)
    return path


def record_path(folder: Path, run: RunSpec) -> Path:
    """Return where the record of `run` goes, checked to be free or a sound record of the same run.

    Raises BadOption when the run's name is no file name, BrokenRecord when what is there is no record of this run.
    """
    path = folder / f"{run.record_name}.json"
    if path.parent != folder or path.name.startswith("."):
        raise BadOption(f"{run.id!r} cannot name a record file. Choose a checkpoint name without / or leading dot.")
    if path.exists():
        read_record(path)
    return path


def read_records(folder: Path) -> list[Record]:
    """Read all `*.json` of `folder` by name; none if there is no such folder. Raises BrokenRecord."""
    return [read_record(path) for path in sorted(folder.glob("*.json")) if not path.name.startswith(".")]


def upgrade_records(folder: Path) -> None:
    """Write records of an earlier schema anew under their name of today, and remove those files."""
    for path in sorted(folder.glob("*.json")):
        record = read_record(path)
        if path.stem != record.run.record_name:
            write_record(folder, record)
            path.unlink(missing_ok=True)


def read_record(path: Path) -> Record:
    """Read one record file. Raises BrokenRecord naming the file and the key."""
    try:
        data = json.loads(path.read_bytes(), parse_constant=_refuse)
    except (OSError, ValueError) as error:
        raise BrokenRecord(f"{path}: damaged: {error}. Delete it and score its run again.") from error
    record = parse_record(data, str(path))
    if data["schema"] < SCHEMA and path.stem.startswith(f"{record.run.id}--"):
        return record  # its fingerprint was taken before its schema changed
    if path.stem != record.run.record_name:
        raise BrokenRecord(
            f"{path}: expected the file name {record.run.record_name}.json, which its run makes. Rename it."
        )
    return record


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")
