"""Describe what a run ran on."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import transfer
from transfer.files.packages import DISTRIBUTIONS, version
from transfer.files.places import PACKAGE


def environment() -> dict[str, Any]:
    """Return versions, code revision, device and number of processes, as stored in every record."""
    return {
        "transfer": transfer.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in DISTRIBUTIONS},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "processes": dist.get_world_size() if dist.is_initialized() else 1,
    }


def commit() -> str | None:
    """Return the checkout's revision, with `+changes` when its code or configs differ; None outside a checkout."""
    return revision_of(PACKAGE.parent)


def revision_of(checkout: Path) -> str | None:
    """Return the revision of a repository whose top is `checkout`; None for anything else."""
    top = _git(checkout, "rev-parse", "--show-toplevel")
    revision = _git(checkout, "rev-parse", "HEAD")
    if top is None or revision is None or Path(top).resolve() != checkout.resolve():
        return None
    changes = _git(checkout, "status", "--porcelain", "--untracked-files=all", "--", "transfer", "configs")
    return f"{revision}+changes" if changes else revision


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
