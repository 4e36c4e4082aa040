"""What a run ran on."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from typing import Any

import torch
import torch.distributed as dist

import transfer
from transfer.spec.places import PACKAGE

DISTRIBUTIONS = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pycocotools",
    "onedl-mmengine",
    "onedl-mmcv",
    "onedl-mmdetection",
    "onedl-mmsegmentation",
    "mmpose",
)


def environment() -> dict[str, Any]:
    """Versions, code revision, device and number of processes, as stored in every record."""
    return {
        "transfer": transfer.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in DISTRIBUTIONS},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "processes": dist.get_world_size() if dist.is_initialized() else 1,
    }


def version(distribution: str) -> str | None:
    """Installed version, None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Revision of the checkout, with `+changes` when the working tree differs; None outside a checkout."""
    revision = _git("rev-parse", "HEAD")
    if revision is None:
        return None
    return revision + (
        "+changes" if _git("status", "--porcelain", "--untracked-files=no", "--", "transfer", "configs") else ""
    )


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
