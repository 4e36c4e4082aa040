"""The packages that results depend on, and the versions installed here. Imports none of them."""

from __future__ import annotations

from importlib import metadata

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


def version(distribution: str) -> str | None:
    """Return the installed version, None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
