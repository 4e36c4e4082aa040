from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def genuine() -> Path:
    """Files that TensorFlow wrote; see write.py beside them."""
    return Path(__file__).parents[1] / "data/tensorflow"
