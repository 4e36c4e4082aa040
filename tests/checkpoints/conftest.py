"""Every registered family's genuine files: `tests/checkpoints/genuine/<family>.py` has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

import pytest

from tests.checkpoints.genuine.files import Genuine
from transfer.checkpoints.families import FAMILIES

LAYOUTS: dict[str, Callable[[], Genuine]] = {}
for family in FAMILIES:
    LAYOUTS |= import_module(f"tests.checkpoints.genuine.{family.name}").LAYOUTS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "layout" in metafunc.fixturenames:
        metafunc.parametrize("layout", list(LAYOUTS), indirect=True)


@pytest.fixture
def layout(request: pytest.FixtureRequest) -> Genuine:
    """Each genuine layout in turn."""
    return LAYOUTS[request.param]()


@pytest.fixture(scope="session")
def layouts() -> Mapping[str, Callable[[], Genuine]]:
    """Name → builder of a genuine layout; names begin with the family's."""
    return LAYOUTS
