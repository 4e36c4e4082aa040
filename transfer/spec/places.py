"""Where declarations and data are found: the checkout's `configs/`, or the copy inside an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

from transfer.errors import UnknownName
from transfer.spec.suite import Suite, load_suite

PACKAGE = Path(__file__).resolve().parents[1]
CONFIGS = next(folder for folder in (PACKAGE.parent / "configs", PACKAGE / "configs") if folder.is_dir())


def suite_names() -> list[str]:
    """Names of all suites."""
    return sorted(path.stem for path in (CONFIGS / "suites").glob("*.toml"))


def recipe_names() -> list[str]:
    """Names of all recipes."""
    return sorted(path.stem for path in (CONFIGS / "recipes").glob("*.py"))


def suite_path(name: str) -> Path:
    """File of a suite; raises UnknownName with the nearest names."""
    if name not in suite_names():
        raise UnknownName.among("suite", name, suite_names())
    return CONFIGS / "suites" / f"{name}.toml"


def recipe_path(name: str) -> Path:
    """File of a recipe; raises UnknownName with the nearest names."""
    if name not in recipe_names():
        raise UnknownName.among("recipe", name, recipe_names())
    return CONFIGS / "recipes" / f"{name}.py"


def data_root() -> Path:
    """`TRANSFER_DATA`, or `data` in the current folder."""
    return Path(os.environ.get("TRANSFER_DATA", "data")).expanduser()


def load_suites() -> list[Suite]:
    """All suites, by name."""
    return [load_suite(suite_path(name)) for name in suite_names()]
