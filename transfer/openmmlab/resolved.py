"""The resolved config of a run as data: JSON that keeps tuples apart from lists, read without running anything.

mmengine's own format is Python with a language of substitutions in its text; a name out of somebody's annotations would
be part of that program. Here a text is a text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from mmengine.config import Config

from transfer.errors import BadOption, BrokenConfig
from transfer.files.atomic import write_json
from transfer.openmmlab.allowed import PATHS, SHIPPED, Vocabulary, check_texts

SCHEMA = 1

TUPLE = "()"
"""The one key of a JSON object that stands for a tuple: mmcv and mmseg tell tuples from lists."""

FORMER = "config.py"
"""What earlier versions wrote: Python."""

PARTS = ("task", "default_scope", "model", "train_dataloader", "test_dataloader", "train_cfg", "optim_wrapper",
         "param_scheduler", "category_ids", "seed")  # fmt: skip
"""What every config has."""


def check_config(config: Config, source: str, vocabulary: Vocabulary = SHIPPED) -> None:
    """Raise UnsafeConfig for what `check_texts` refuses, BadOption for a value that JSON cannot say."""
    check_texts(config.to_dict(), source, vocabulary)
    _encoded(config.to_dict(), source)


def load_config(path: Path, vocabulary: Vocabulary = SHIPPED) -> Config:
    """Read a run's config, which says nothing beyond `vocabulary`: the one way from a folder to what is built.

    Raises BrokenConfig for a missing, damaged or former file, UnsafeConfig for one that names more.
    """
    config = read_config(path)
    check_texts(config.to_dict(), str(path), vocabulary)
    return config


def holds_config(path: Path) -> bool:
    """Return whether the run of this file has a config, be it an earlier version's, which `load_config` refuses."""
    return path.exists() or path.with_name(FORMER).exists()


def write_config(path: Path, config: Config) -> None:
    """Write a config that `read_config` returns equal, types and all; whole or not at all.

    Raises BadOption that names a value which JSON cannot say.
    """
    write_json(path, {"schema": SCHEMA, "config": _encoded(config.to_dict(), "config")})


def read_config(path: Path) -> Config:
    """Read what `write_config` wrote. Raises BrokenConfig for a missing, damaged or former file, saying what to do."""
    if not path.is_file():
        raise BrokenConfig(_absent(path))
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
        return Config(_config_in(found))
    except (ValueError, KeyError, RecursionError) as error:  # not UTF-8 and not JSON are ValueErrors
        raise BrokenConfig(
            f"{path} is damaged: expected the JSON that `transfer eval` writes, found {_short(error)}. Remove it and "
            "run the `transfer eval` of this run again, which writes it anew."
        ) from error


def relocated(kept: Config, present: Config) -> Config:
    """Return `kept` with the paths of `present`, whose files are the same and may lie elsewhere now."""
    return Config(_relocated(kept.to_dict(), present.to_dict()))


def _relocated(kept: Any, present: Any) -> Any:
    if not (isinstance(kept, Mapping) and isinstance(present, Mapping)):
        return kept
    return {
        key: present[key] if key in PATHS and key in present else _relocated(value, present.get(key))
        for key, value in kept.items()
    }


def _absent(path: Path) -> str:
    former = path.with_name(FORMER)
    if not former.exists():
        return f"there is no {path}. Run the `transfer eval` of this run again, which writes it."
    return (
        f"{former} is the config of an earlier version, a Python program, and is not run: a run's folder is data. "
        f"Remove that file and run the `transfer eval` of this run again: it writes {path.name} for the same head and "
        "data and goes on from what is in the folder."
    )


def _encoded(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return {_key(key, where): _encoded(item, f"{where}.{key}") for key, item in value.items()}
    if type(value) in (list, tuple):
        items = [_encoded(item, f"{where}[{index}]") for index, item in enumerate(value)]
        return items if type(value) is list else {TUPLE: items}
    if value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value)):
        return value
    raise BadOption(
        f"{where} is {value!r} of type {type(value).__name__}: a config holds finite numbers, strings, booleans, None, "
        "and lists, tuples and dicts of them."
    )


def _key(key: Any, where: str) -> str:
    if type(key) is not str or key == TUPLE:
        raise BadOption(f"{where} has a key {key!r}: keys are strings, and {TUPLE!r} is taken. Give it another name.")
    return key


def _config_in(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict) or set(found) != {"schema", "config"}:
        raise ValueError("something else than one object with schema and config")
    if type(found["schema"]) is not int or found["schema"] != SCHEMA:
        raise ValueError(f"schema {found['schema']!r} instead of {SCHEMA}")
    config = _decoded(found["config"])
    missing = [part for part in PARTS if not isinstance(config, dict) or part not in config]
    if missing:
        raise ValueError(f"a config without {', '.join(missing)}")
    return dict(config)


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        if TUPLE in value:
            return _tuple(value)
        return {key: _decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number beyond every float")
    return value


def _tuple(value: dict[str, Any]) -> tuple[Any, ...]:
    items = value[TUPLE]
    if len(value) != 1 or not isinstance(items, list):
        raise ValueError(f"an object with {TUPLE!r} that is no tuple")
    return tuple(_decoded(item) for item in items)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice in one object")
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name}, which is no JSON")


def _short(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:200]
