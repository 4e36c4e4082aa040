"""Masks of any values as label maps: the lookup, the names, the links, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfer.datasets.masks import (
    colliding,
    flat,
    image_files,
    link_images,
    lookup_of,
    mask_names,
    without_mask,
    write_label_maps,
)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_values_become_their_places() -> None:
    table = lookup_of([7, 3], [9, 0], 2)
    assert table.shape == (256,) and (table[7], table[3]) == (0, 1)
    assert {int(value) for value in np.flatnonzero(table == 255)} == {0, 9, 255}
    assert (table == -1).sum() == 256 - 5


def test_values_are_class_numbers_unless_told() -> None:
    table = lookup_of([], [], 3)
    assert table[:4].tolist() == [0, 1, 2, -1] and table[255] == 255 and (table == -1).sum() == 252


def test_a_listed_value_goes_before_an_ignored_one() -> None:
    assert lookup_of([255, 4], [4], 2)[[255, 4]].tolist() == [0, 1]


def test_label_maps_hold_class_numbers(tmp_path: Path) -> None:
    values = np.array([[7, 3, 9], [255, 7, 0]], np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    out = tmp_path / "out"
    assert write_label_maps({"city/a": tmp_path / "a.png"}, lookup_of([7, 3], [0, 9], 2), out) == []
    with Image.open(out / "city__a.png") as image:
        assert image.mode == "L" and np.asarray(image).tolist() == [[0, 1, 255], [255, 0, 255]]


def test_every_fault_of_a_mask_is_told_and_whose_fault_it_is(tmp_path: Path) -> None:
    Image.fromarray(np.array([[8, 5, 5, 1, 2]], np.uint8)).save(tmp_path / "unknown.png")
    Image.new("RGB", (2, 2)).save(tmp_path / "colour.png")
    Image.new("I;16", (2, 2)).save(tmp_path / "deep.png")
    (tmp_path / "broken.png").write_bytes(b"<html>")
    names = ("unknown", "colour", "deep", "broken", "absent")
    paths = {name: tmp_path / f"{name}.png" for name in names}
    problems = write_label_maps(paths, lookup_of([1, 2], [], 2), tmp_path / "out")
    assert [problem.text.replace(str(tmp_path), "") for problem in problems[:3]] == [
        "/unknown.png holds the unknown values 5, 8",
        "/colour.png: a mask has one channel of 8-bit values; this one is RGB",
        "/deep.png: a mask has one channel of 8-bit values; this one is I;16",
    ]
    assert problems[3].text.startswith(f"{paths['broken']} cannot be decoded: ")
    assert problems[4].text == f"{paths['absent']} is listed but does not exist"
    assert [problem.image for problem in problems] == [False, True, True, True, False]


def test_a_palette_is_read_by_index(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[1, 2]], np.uint8))
    image.putpalette([0, 0, 0, 9, 9, 9, 200, 1, 1])
    image.save(tmp_path / "a.png")
    assert write_label_maps({"a": tmp_path / "a.png"}, lookup_of([1, 2], [], 2), tmp_path / "out") == []
    with Image.open(tmp_path / "out/a.png") as written:
        assert np.asarray(written).tolist() == [[0, 1]]


def test_masks_are_named_by_their_path_in_order(tmp_path: Path) -> None:
    touch(tmp_path / "b_gt.png", tmp_path / "a/c_gt.png", tmp_path / "a/c_other.png", tmp_path / "d.png")
    found = mask_names(tmp_path, "_gt.png")
    assert list(found.items()) == [("a/c", tmp_path / "a/c_gt.png"), ("b", tmp_path / "b_gt.png")]


def test_images_without_a_mask_are_absent_masks(tmp_path: Path) -> None:
    touch(tmp_path / "a/one.jpg", tmp_path / "two.png", tmp_path / "three.JPG", tmp_path / "notes.txt")
    problems = without_mask(tmp_path, "", ["a/one"])
    assert [problem.text for problem in problems] == [f"{tmp_path / n} has no mask" for n in ("three.JPG", "two.png")]
    assert all(problem.absent and not problem.image for problem in problems)
    assert without_mask(tmp_path, "", ["a/one", "two", "three"]) == []


def test_images_are_told_by_their_ending_where_there_is_one(tmp_path: Path) -> None:
    touch(tmp_path / "a_left.png", tmp_path / "b_left.png", tmp_path / "c.png", tmp_path / "d.tif")
    assert [problem.text for problem in without_mask(tmp_path, "_left.png", ["a"])] == [
        f"{tmp_path / 'b_left.png'} has no mask"
    ]
    assert len(without_mask(tmp_path, ".tif", ["a"])) == 1


def test_images_of_masks(tmp_path: Path) -> None:
    touch(tmp_path / "a/one.jpg", tmp_path / "two.png", tmp_path / "two_left.png")
    names = ["two", "gone", "a/one"]
    assert image_files(tmp_path, names, "") == {"two": tmp_path / "two.png", "a/one": tmp_path / "a/one.jpg"}
    assert image_files(tmp_path, names, "_left.png") == {"two": tmp_path / "two_left.png"}


def test_links_lead_to_the_originals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "data/x/1.JPG", tmp_path / "data/y/1.png")
    monkeypatch.chdir(tmp_path)
    link_images({"x/1": Path("data/x/1.JPG"), "y/1": Path("data/y/1.png")}, tmp_path / "links")
    links = sorted((tmp_path / "links").iterdir())
    assert [link.name for link in links] == ["x__1.JPG", "y__1.png"]
    assert [link.readlink() for link in links] == [tmp_path / "data/x/1.JPG", tmp_path / "data/y/1.png"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a", "a"),
        ("ulm/ulm_1", "ulm_1"),
        ("train/ulm/ulm_1", "ulm_1"),
        ("train/ulm/x", "train__ulm__x"),
        ("ulm/train/ulm_1", "ulm__train__ulm_1"),
    ],
)
def test_flat_names(name: str, expected: str) -> None:
    assert flat(name) == expected


def test_names_that_would_become_one_file_are_told() -> None:
    found = [problem.text for problem in colliding(["ulm/ulm_1", "ulm_2", "ulm_1", "x/1", "x__1"])]
    assert found == ["ulm/ulm_1 and ulm_1 have one name, ulm_1", "x/1 and x__1 have one name, x__1"]
    assert list(colliding(["a", "b", "c/a"])) == []
