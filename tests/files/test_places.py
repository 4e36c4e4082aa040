from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from transfer.errors import BrokenInstallation, UnknownName
from transfer.files.places import configs, recipe_path, suite_path


def package(root: Path) -> Path:
    (root / "transfer").mkdir(parents=True)
    return root / "transfer"


def test_a_checkout_comes_before_a_wheel(tmp_path: Path) -> None:
    here = package(tmp_path)
    for folder in (here.parent, here):
        (folder / "configs" / "suites").mkdir(parents=True)
    assert configs(here) == tmp_path / "configs"


def test_a_stranger_beside_the_package_is_no_checkout(tmp_path: Path) -> None:
    here = package(tmp_path)
    (tmp_path / "configs").mkdir()
    (here / "configs" / "suites").mkdir(parents=True)
    assert configs(here) == here / "configs"


def test_missing_declarations_say_where_they_belong(tmp_path: Path) -> None:
    here = package(tmp_path)
    with pytest.raises(BrokenInstallation, match="suites") as caught:
        configs(here)
    assert str(tmp_path / "configs") in str(caught.value) and str(here / "configs") in str(caught.value)


@pytest.mark.parametrize("find", [suite_path, recipe_path])
def test_a_name_does_not_reach_outside(find: Callable[[str], Path], tmp_path: Path) -> None:
    for suffix in ("toml", "py"):
        (tmp_path / f"x.{suffix}").write_text("", encoding="utf-8")
    up = "../" * 30
    for name in ("../suites/mini", "../recipes/fcn_d8_mini", f"{up}{tmp_path}/x", str(tmp_path / "x"), ".", ""):
        with pytest.raises(UnknownName):
            find(name)
