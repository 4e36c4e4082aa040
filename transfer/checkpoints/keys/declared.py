"""Read the input contract that a file declares."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfer.errors import UnreadableCheckpoint
from transfer.schemas.checkpoint import InputContract


def declared_contract(declared: Any, path: Path, source: str = "file") -> InputContract:
    """Read `{"mean": ..., "std": ..., "range": ..., "channel_order": ...}`, of which the last two have defaults.

    Raises UnreadableCheckpoint for anything else.
    """
    try:
        mean, std = ([float(value) for value in declared[key]] for key in ("mean", "std"))
        value_range, order = declared.get("range", "0-1"), declared.get("channel_order", "RGB")
        if len(mean) != 3 or len(std) != 3 or value_range not in ("0-1", "0-255") or order not in ("RGB", "BGR"):
            raise ValueError(f"got {dict(declared)!r:.200}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableCheckpoint(
            f"{path}: `input` should say mean and std (three numbers each), range (0-1 or 0-255) and "
            f"channel_order (RGB or BGR); {type(error).__name__}: {error}. Write the file again."
        ) from error
    return InputContract(
        (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]), range=value_range, channel_order=order, source=source
    )


def triple(value: Any) -> tuple[float, float, float] | None:
    """Return a list of three numbers as a tuple, None for anything else."""
    if isinstance(value, (list, tuple)) and len(value) == 3 and all(isinstance(v, (int, float)) for v in value):
        return float(value[0]), float(value[1]), float(value[2])
    return None


def contract_of(metadata: Mapping[str, Any]) -> InputContract | None:
    """Return the contract in metadata with `mean` and `std`, None where they are not there."""
    mean, std = triple(metadata.get("mean")), triple(metadata.get("std"))
    return InputContract(mean, std, source="file") if mean and std else None
