from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from transfer.datasets.declaration import dataset_names, find_declaration
from transfer.errors import BadOption, BrokenInstallation, UnknownName
from transfer.files.places import configs, head_path, suite_names, suite_path
from transfer.schemas.suite import load_suite


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


SUITE = """
title = "Mine"
description = "A suite of a user's own."
seeds = [0]

[[tasks]]
name = "boxes"
title = "Boxes"
head = "faster_rcnn_fpn"
dataset = "mini"
size = "mini"
kind = "bbox"
scores = ["AP"]
arguments = { rate = 0.01 }
"""
DATA_SET = 'title = "No suite"\nlayout = "coco"\n'


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "suites").mkdir(parents=True)
    return tmp_path / "data"


def written(path: Path, text: str = SUITE) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_suite_lies_anywhere(root: Path, tmp_path: Path) -> None:
    beside, among, far = written(root / "beside.toml"), written(root / "suites" / "among.toml"), tmp_path / "far.toml"
    written(far)
    assert suite_path("beside") == beside and suite_path("among") == among and suite_path(str(far)) == far
    assert {"beside", "among", "mini"} <= set(suite_names()) and "far" not in suite_names()
    assert load_suite(far).tasks[0].arguments == {"rate": 0.01}


def test_data_sets_and_suites_are_told_apart(root: Path) -> None:
    written(root / "suite.toml")
    written(root / "images.toml", DATA_SET)
    written(root / "broken.toml", "title = ")
    assert "suite" in suite_names() and not {"images", "broken"} & set(suite_names())
    assert "images" in dataset_names(root) and "suite" not in dataset_names(root)
    with pytest.raises(BadOption, match=r"suite\.toml is a suite, not a data set"):
        find_declaration("suite", root)
    with pytest.raises(BadOption, match="is a data set, not a suite"):
        load_suite(root / "images.toml")


def test_names_of_shipped_suites_are_taken(root: Path, tmp_path: Path) -> None:
    written(root / "mini.toml")
    assert suite_path("mini") == configs() / "suites" / "mini.toml"
    assert suite_path(str(configs() / "suites" / "mini.toml")).stem == "mini"
    with pytest.raises(BadOption, match=r"comes with this package. Give the file another name"):
        suite_path(str(root / "mini.toml"))
    with pytest.raises(UnknownName, match=r"there is no suite file .*gone\.toml"):
        suite_path(str(tmp_path / "gone.toml"))


@pytest.mark.parametrize("name", ["../heads/fcn_d8", "fcn_d8.py", "/etc/passwd", "os.system", "", "fcn-d8"])
def test_a_suite_names_shipped_heads_only(name: str) -> None:
    with pytest.raises(UnknownName, match="there is no head"):
        head_path(name)


@pytest.mark.parametrize("find", [suite_path, head_path])
def test_a_name_does_not_reach_outside(find: Callable[[str], Path], tmp_path: Path) -> None:
    for suffix in ("toml", "py"):
        (tmp_path / f"x.{suffix}").write_text("", encoding="utf-8")
    up = "../" * 30
    for name in ("../suites/mini", "../heads/fcn_d8", f"{up}{tmp_path}/x", str(tmp_path / "x"), ".", ""):
        with pytest.raises(UnknownName):
            find(name)
