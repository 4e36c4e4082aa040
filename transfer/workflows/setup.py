"""What some tasks need besides this package's dependencies: refused without it, and installed when the user asks."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from transfer.errors import MissingPackage
from transfer.files.packages import POSE, SETUP_POSE, lacking
from transfer.metrics.registry import find_metric
from transfer.schemas.suite import Task

NEEDED: Mapping[str, tuple[str, ...]] = {"keypoints": POSE}
"""For each type of annotations the packages that its heads need and no ordinary installation brings."""


def missing_packages(task: Task) -> list[str]:
    """Return the requirements of `task` that are not installed."""
    return lacking(NEEDED.get(find_metric(task.metric).annotations, ()))


def refusals(tasks: Sequence[Task]) -> list[str]:
    """Return a sentence for each task that cannot run for want of packages."""
    missing = {task.name: missing_packages(task) for task in tasks}
    return [
        f"task {name!r} is refused: it needs {' and '.join(packages)}, not installed here. Install with: {SETUP_POSE}"
        for name, packages in missing.items()
        if packages
    ]


def runnable(tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks whose packages are installed, and name the others on stderr.

    Raises MissingPackage where none is left.
    """
    refused, left = refusals(tasks), [task for task in tasks if not missing_packages(task)]
    if not left:
        raise MissingPackage("\n".join(refused))
    for sentence in refused:
        print(f"transfer: {sentence}", file=sys.stderr)
    return left


def install_pose() -> str:
    """Install what pose tasks need into the running interpreter's environment, and return what is there then.

    Does nothing where all of it is installed. Raises MissingPackage where no installer is found, or it fails.
    """
    missing = lacking(POSE)
    if missing:
        command = [*_installer(), "--no-deps", *missing]
        done = subprocess.run(command, check=False)
        importlib.invalidate_caches()
        if done.returncode or lacking(POSE):
            raise MissingPackage(
                f"{' '.join(missing)} could not be installed; what pip or uv says of it stands above. "
                f"The command was: {' '.join(command)}"
            )
    return f"pose tasks can run: {' and '.join(POSE)} {'were installed' if missing else 'are installed already'}"


def _installer() -> list[str]:
    """The interpreter's own pip, else uv."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--no-input"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable]
    raise MissingPackage(
        f"neither pip nor uv is there to install {' '.join(POSE)}. Run `{sys.executable} -m ensurepip`, "
        "then the same command again."
    )
