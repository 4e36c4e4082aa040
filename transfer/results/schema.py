"""Check what a record file holds, key by key, before it becomes a `Record`."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from types import NoneType
from typing import Any

from transfer.errors import BrokenRecord
from transfer.results.migration import migrated
from transfer.schemas.record import SCHEMA, Record

Types = Mapping[str, tuple[type, ...]]

RECORD: Types = {
    "run": (dict,),
    "scores": (dict,),
    "certificate": (dict, NoneType),
    "data": (dict,),
    "cost": (dict,),
    "environment": (dict,),
    "predictions": (dict,),
    "created": (str,),
    "schema": (int,),
    "overlap": (dict,),
}
RUN: Types = {
    "checkpoint": (str,),
    "weights": (str,),
    "backbone": (dict,),
    "input": (dict,),
    "suite": (str,),
    "task": (str,),
    "head": (str,),
    "dataset": (str,),
    "size": (str,),
    "arguments": (dict,),
    "seed": (int,),
    "overrides": (dict,),
    "work": (str,),
    "protocol": (str,),
    "excluded": (str,),
}
LATER = ("overlap", "excluded")
"""Keys that records of the first versions lack: nothing was compared, and nothing excluded."""

STATUSES = ("unknown", "none by construction", "measured")


def parse_record(data: Any, source: str) -> Record:
    """Check `data`, the JSON of a record, and build it. Raises BrokenRecord naming `source` and the key."""
    data = migrated(data)
    _check_version(data, source)
    _check_keys(data, RECORD, source)
    _check_keys(data["run"], RUN, f"{source}: run")
    _check_values(data, source)
    return Record.from_json(data)


def _check_values(data: Mapping[str, Any], source: str) -> None:
    for name, value in data["scores"].items():
        if not _number(value) or not (value == -1 or 0 <= value <= 1):
            raise BrokenRecord(f"{source}: scores.{name}: expected a share within 0 and 1, or -1, got {value!r}.")
    for name, value in data["cost"].items():
        if not _number(value) or value < 0:
            raise BrokenRecord(f"{source}: cost.{name}: expected a number of at least 0, got {value!r}.")
    for use, manifest in data["data"].items():
        if not isinstance(manifest, Mapping):
            raise BrokenRecord(f"{source}: data.{use}: expected a manifest (sha256, images), got {manifest!r}.")
    status = data.get("overlap", {"status": "unknown"}).get("status")
    if status not in STATUSES:
        raise BrokenRecord(f"{source}: overlap.status: expected one of {', '.join(STATUSES)}, got {status!r}.")
    coverage = 0 if data["certificate"] is None else data["certificate"].get("coverage")
    if not _number(coverage) or not 0 <= coverage <= 1:
        raise BrokenRecord(f"{source}: certificate.coverage: expected a share within 0 and 1, got {coverage!r}.")


def _check_version(data: Any, source: str) -> None:
    if isinstance(data, dict) and isinstance(data.get("schema"), int) and data["schema"] != SCHEMA:
        advice = "Update this program." if data["schema"] > SCHEMA else "Run the task again."
        raise BrokenRecord(f"{source}: schema: expected version {SCHEMA}, got {data['schema']}. {advice}")


def _check_keys(data: Any, types: Types, source: str) -> None:
    if not isinstance(data, dict):
        raise BrokenRecord(f"{source}: expected an object with {', '.join(types)}, got {type(data).__name__}.")
    unknown = [key for key in data if key not in types]
    for key in types:
        if key not in data and key in LATER:
            continue
        if key not in data:
            close = difflib.get_close_matches(key, unknown, n=1)
            raise BrokenRecord(f"{source}: {key} is missing." + (f" Is it {close[0]!r}?" if close else ""))
        if type(data[key]) not in types[key]:
            expected = " or ".join(kind.__name__ for kind in types[key])
            raise BrokenRecord(f"{source}: {key}: expected {expected}, got {type(data[key]).__name__}.")
    if unknown:
        raise BrokenRecord(f"{source}: {unknown[0]} is no key of a record. Expected: {', '.join(types)}.")


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
