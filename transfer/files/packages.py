"""The packages that results depend on, and the versions installed here. Imports none of them."""

from __future__ import annotations

from collections.abc import Iterable
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

POSE = ("mmpose==1.3.2", "munkres")
"""What pose tasks need besides this package's dependencies, to be installed without what mmpose asks for.

mmpose asks for chumpy and xtcocotools, which no longer build, and for json-tricks, which only its demos import.
"""

SETUP_POSE = "transfer setup pose"
"""The command that installs them."""


def version(distribution: str) -> str | None:
    """Return the installed version, None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def lacking(requirements: Iterable[str]) -> list[str]:
    """Those of `requirements`, each a name or `name==version`, that are not installed like this."""
    return [requirement for requirement in requirements if not _is_installed(requirement)]


def _is_installed(requirement: str) -> bool:
    name, _, wanted = requirement.partition("==")
    found = version(name)
    return found is not None and wanted in ("", found)
