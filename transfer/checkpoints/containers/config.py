"""What stands beside the weights in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfer.errors import UnreadableCheckpoint

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
LARGEST = 2**24


def read_config(folder: Path) -> Mapping[str, Any]:
    """`config.json` of timm or transformers, and `preprocessor_config.json` under `preprocessor`; empty without them.

    Raises UnreadableCheckpoint if one is damaged.
    """
    config, preprocessor = read_object(folder / CONFIG), read_object(folder / PREPROCESSOR)
    return {**config, "preprocessor": preprocessor} if preprocessor else config


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is no file or something else in it."""
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"more than {LARGEST:,} bytes")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnreadableCheckpoint(
            f"{path} beside the weights is not valid JSON ({error}). Repair or remove it."
        ) from error
    return value if isinstance(value, dict) else {}
