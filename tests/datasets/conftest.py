from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def mini_root(furnish: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`mini` of seed 0; tests copy what they damage."""
    return furnish(tmp_path_factory.mktemp("datasets")) / "data" / "mini"
