from __future__ import annotations

from pathlib import Path

import pytest

from transfer.datasets.mini.generate import generate_mini


@pytest.fixture(scope="session")
def mini_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`mini` of seed 0; tests copy what they damage."""
    root = tmp_path_factory.mktemp("data") / "mini"
    generate_mini(root)
    return root
