"""Where declarations and data are found: the checkout's `configs/`, or the copy inside an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

from transfer.errors import BrokenInstallation, UnknownName
from transfer.schemas.suite import Suite, load_suite

PACKAGE = Path(__file__).resolve().parents[1]


def configs(package: Path = PACKAGE) -> Path:
    """The checkout's `configs/`, else the wheel's copy; raises BrokenInstallation when neither holds suites."""
    candidates = (package.parent / "configs", package / "configs")
    for folder in candidates:
        if (folder / "suites").is_dir():
            return folder
    raise BrokenInstallation(
        f"the suites and recipes that come with this package are missing: expected a folder suites in {candidates[0]} "
        f"(a checkout) or {candidates[1]} (an installed wheel). Restore configs/ or install the package again."
    )


def suite_names() -> list[str]:
    """Names of all suites."""
    return sorted(path.stem for path in (configs() / "suites").glob("*.toml"))


def recipe_names() -> list[str]:
    """Names of all recipes."""
    return sorted(path.stem for path in (configs() / "recipes").glob("*.py"))


def suite_path(name: str) -> Path:
    """File of a suite; raises UnknownName with the nearest names."""
    if name not in suite_names():
        raise UnknownName.among("suite", name, suite_names())
    return configs() / "suites" / f"{name}.toml"


def recipe_path(name: str) -> Path:
    """File of a recipe; raises UnknownName with the nearest names."""
    if name not in recipe_names():
        raise UnknownName.among("recipe", name, recipe_names())
    return configs() / "recipes" / f"{name}.py"


def data_root() -> Path:
    """`TRANSFER_DATA`, or `data` in the current folder."""
    return Path(os.environ.get("TRANSFER_DATA", "data")).expanduser()


def load_suites() -> list[Suite]:
    """All suites, by name."""
    return [load_suite(suite_path(name)) for name in suite_names()]
