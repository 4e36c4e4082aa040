from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from transfer.datasets.mini.generate import generate_mini

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # bitwise comparisons, and one process unless a test asks for more


LONG = ("stages", "tools", "test_readme.py", "test_docs.py", "openmmlab")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes first, so that no worker begins one when the others are done."""
    items.sort(key=lambda item: not set(LONG) & {*item.path.parts})


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Small real data sets; their folder is named by TRANSFER_SHARED_DATA."""
    folder = os.environ.get("TRANSFER_SHARED_DATA")
    if not folder:
        pytest.skip("TRANSFER_SHARED_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory with the embedded data."""
    folder = tmp_path_factory.mktemp("work_dirs")
    generate_mini(folder / "data" / "mini")
    return folder


@pytest.fixture(scope="session")
def furnish(work_dir: Path) -> Callable[[Path], Path]:
    """Makes a folder a work directory of its own, with the embedded data that would take seconds to draw again."""

    def copy_into(folder: Path) -> Path:
        shutil.copytree(work_dir / "data" / "mini", folder / "data" / "mini")
        return folder

    return copy_into


@pytest.fixture
def furnished(furnish: Callable[[Path], Path], tmp_path: Path) -> Path:
    """A work directory of this test's own, with the embedded data."""
    return furnish(tmp_path)
