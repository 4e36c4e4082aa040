from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # bitwise comparisons, and one process unless a test asks for more


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Small real data sets; their folder is named by TRANSFER_SHARED_DATA."""
    folder = os.environ.get("TRANSFER_SHARED_DATA")
    if not folder:
        pytest.skip("TRANSFER_SHARED_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory in which the embedded data are generated once."""
    return tmp_path_factory.mktemp("work_dirs")
