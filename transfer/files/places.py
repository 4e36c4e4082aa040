"""Find declarations and data: in the checkout's `configs/`, or the copy inside an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

from transfer.errors import BrokenInstallation, UnknownName

PACKAGE = Path(__file__).resolve().parents[1]


def configs(package: Path = PACKAGE) -> Path:
    """Return the checkout's `configs/`, else the wheel's; raises BrokenInstallation when neither holds suites."""
    candidates = (package.parent / "configs", package / "configs")
    for folder in candidates:
        if (folder / "suites").is_dir():
            return folder
    raise BrokenInstallation(
        f"the suites and heads that come with this package are missing: expected a folder suites in {candidates[0]} "
        f"(a checkout) or {candidates[1]} (an installed wheel). Restore configs/ or install the package again."
    )


def head_names() -> list[str]:
    """Return the names of all heads."""
    return sorted(path.stem for path in (configs() / "heads").glob("*.py"))


def head_path(name: str) -> Path:
    """Return the file of a shipped head; raises UnknownName with the nearest names, for a path, too."""
    if name not in head_names():
        raise UnknownName.among("head", name, head_names())
    return configs() / "heads" / f"{name}.py"


def data_root() -> Path:
    """Return `TRANSFER_DATA`, or `data` in the current folder."""
    return Path(os.environ.get("TRANSFER_DATA", "data")).expanduser()
