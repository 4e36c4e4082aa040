"""Read the configuration files that stand next to the weights in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfer.errors import UnreadableCheckpoint

CONFIG, PREPROCESSOR, OPEN_CLIP = "config.json", "preprocessor_config.json", "open_clip_config.json"
LARGEST = 2**24


def read_config(folder: Path) -> Mapping[str, Any]:
    """Read `config.json` of timm or transformers, and what else stands next to it; empty without them.

    `preprocessor_config.json` is under `preprocessor`, OpenCLIP's `open_clip_config.json` under `open_clip`.
    Raises UnreadableCheckpoint if one is damaged.
    """
    others = {"preprocessor": read_object(folder / PREPROCESSOR), "open_clip": read_object(folder / OPEN_CLIP)}
    return {**read_object(folder / CONFIG), **{key: value for key, value in others.items() if value}}


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object, empty where there is no file or something else in it."""
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"more than {LARGEST:,} bytes")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnreadableCheckpoint(
            f"{path} next to the weights is not valid JSON ({error}). Repair or remove it."
        ) from error
    return value if isinstance(value, dict) else {}
