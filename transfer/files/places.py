"""Find declarations and data: in the checkout's `configs/`, or the copy inside an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

from transfer.errors import BadOption, BrokenInstallation, UnknownName
from transfer.schemas.suite import Suite, is_suite, load_suite

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


def shipped_suites() -> dict[str, Path]:
    """Return names and files of the suites that come with this package."""
    return {path.stem: path for path in sorted((configs() / "suites").glob("*.toml"))}


def user_suites() -> dict[str, Path]:
    """Return names and files of the user's suites: in `suites/` of the data root, else beside its data sets."""
    folders = (data_root(), data_root() / "suites")
    found = {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml")) if is_suite(path)}
    return {name: path for name, path in found.items() if name not in shipped_suites()}


def suite_names() -> list[str]:
    """Return the names of all suites, shipped and the user's own."""
    return sorted({*shipped_suites(), *user_suites()})


def head_names() -> list[str]:
    """Return the names of all heads."""
    return sorted(path.stem for path in (configs() / "heads").glob("*.py"))


def suite_path(name: str) -> Path:
    """Return the file of a suite: a shipped one or one of the user's own by name, or the path of a TOML.

    Raises UnknownName with the nearest names, BadOption for another file that has a shipped suite's name, by which its
    records would be taken for that suite's.
    """
    if not name.endswith(".toml"):
        known = {**user_suites(), **shipped_suites()}
        if name not in known:
            raise UnknownName.among("suite", name, known)
        return known[name]
    path, shipped = Path(name), shipped_suites()
    if not path.is_file():
        raise UnknownName(f"there is no suite file {name}. Suites that have a name: {', '.join(suite_names())}.")
    if path.stem in shipped and path.resolve() != shipped[path.stem].resolve():
        raise BadOption(f"{name}: {path.stem!r} is a suite that comes with this package. Give the file another name.")
    return path


def head_path(name: str) -> Path:
    """Return the file of a shipped head; raises UnknownName with the nearest names, for a path, too."""
    if name not in head_names():
        raise UnknownName.among("head", name, head_names())
    return configs() / "heads" / f"{name}.py"


def data_root() -> Path:
    """Return `TRANSFER_DATA`, or `data` in the current folder."""
    return Path(os.environ.get("TRANSFER_DATA", "data")).expanduser()


def load_suites() -> list[Suite]:
    """Load all suites, shipped and the user's own, by name."""
    return [load_suite(suite_path(name)) for name in suite_names()]
