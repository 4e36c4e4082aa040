from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.datasets.declaration import find_declaration
from transfer.datasets.layouts import Split
from transfer.datasets.opening import open_splits
from transfer.datasets.preflight import check_split
from transfer.datasets.subsets import Amount, choose
from transfer.datasets.validation import source_name, validation_part, validation_splits
from transfer.errors import BadOption
from transfer.schemas.annotations import ANNOTATIONS

NAMES = st.sets(st.text("abcdef01", min_size=1, max_size=5), min_size=2, max_size=40)
MANY = [f"{number:05d}.jpg" for number in range(4000)]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("street.jpg", "street"),
        ("street_jpg.rf.0f3ac1d2e4.jpg", "street"),
        ("street_jpg.rf.0f3ac1d2e4", "street"),  # the stem by which its label map is named
        ("street.v2.PNG", "street.v2"),
        ("street_aug1.png", "street"),
        ("street-augmented-02_png.rf.aB12.jpg", "street"),
        ("street - Copy (2).jpeg", "street"),
        ("2008/street_copy.jpg", "2008/street"),
        ("hardcopy.jpg", "hardcopy"),
        ("aug1.jpg", "aug1"),
        ("_aug1.jpg", "_aug1"),
        ("a/(1).jpg", "a/(1)"),
        ("augsburg_000001_000019", "augsburg_000001_000019"),
    ],
)
def test_copies_have_the_name_of_their_source(name: str, source: str) -> None:
    assert source_name(name) == source


def test_the_part_is_a_tenth_and_another_than_a_subsets() -> None:
    part = validation_part(MANY)
    assert abs(len(part) - 400) < 60  # deviation 19
    subset = choose({name: frozenset({0}) for name in MANY}, Amount(share=Fraction(1, 10))).names
    assert abs(len(part & subset) - 40) < 25  # deviation 6: a subset of train is not emptied
    assert validation_part(MANY, share=Fraction(1, 20)) < part


@given(NAMES, st.randoms(), st.data())
def test_nothing_but_its_own_group_decides_where_an_image_is(
    names: set[str], shuffler: random.Random, data: st.DataObject
) -> None:
    groups = data.draw(st.lists(st.sets(st.sampled_from(sorted(names)), max_size=3), max_size=5))
    names = names | {FIXED[0]}  # so that the part is never empty
    turned = sorted(names)
    shuffler.shuffle(turned)
    shuffled_groups = [sorted(group, reverse=True) for group in shuffler.sample(groups, len(groups))]
    half = Fraction(1, 2)
    try:
        part = validation_part(sorted(names), groups, half)
    except BadOption:
        return
    assert part and names - part
    assert validation_part(turned, shuffled_groups, half) == part
    more = {f"{name}z" for name in names}
    assert part <= validation_part([*turned, *more], groups, half)
    assert all(group <= part or not group & part for group in groups)


def test_groups_that_share_an_image_are_one_and_the_first_source_decides() -> None:
    alone = validation_part(MANY)
    inside, outside = min(alone), [name for name in MANY if name not in alone]
    later = [name for name in outside if name > inside][:3]
    chain = [(inside, later[0]), (later[2], later[1]), (later[0], later[1])]
    assert {inside, *later} <= validation_part(MANY, chain)
    assert alone ^ validation_part(MANY, chain) == set(later)
    earlier = min(outside)
    assert earlier < inside and inside not in validation_part(MANY, [(inside, earlier)])


def test_copies_by_name_stay_together_even_where_groups_name_one_of_them() -> None:
    copies = [f"{name[:-4]}_jpg.rf.{number:x}ab.jpg" for number, name in enumerate(MANY)] + MANY
    part = validation_part(copies)
    assert len(part) == 2 * len(part & set(MANY)) > 0
    joined = validation_part(copies, [(MANY[0], MANY[1])])
    assert sum(name in joined for name in copies if source_name(name) in ("00000", "00001")) in (0, 4)


def test_few_images_have_a_part_too_and_one_scene_has_none() -> None:
    for number in range(20):
        assert len(validation_part([f"a{number}", f"b{number}"])) == 1
    with pytest.raises(BadOption, match="3 training images show 1 scenes"):
        validation_part(["a.jpg", "a_aug1.jpg", "b.jpg"], [("a.jpg", "b.jpg")])


def test_the_part_is_fixed_for_all_time() -> None:
    assert sorted(validation_part(MANY))[:4] == FIXED


FIXED = ["00008.jpg", "00009.jpg", "00014.jpg", "00019.jpg"]
"""What was chosen by these images must not be chosen by others without a word: a change here is another part."""


@pytest.mark.parametrize("kind", ANNOTATIONS)
def test_both_parts_of_mini_are_data_sets_with_the_same_labels(mini_root: Path, kind: str) -> None:
    work = mini_root.parent
    split, _ = open_splits(find_declaration("mini", work), kind, work, work)
    whole = check_split(split, kind)
    train, validation = (check_split(part, kind) for part in validation_splits(split, kind, work))
    assert train.classes == validation.classes == whole.classes
    assert train.category_ids == validation.category_ids == whole.category_ids
    assert train.hashes.keys().isdisjoint(validation.hashes) and {**train.hashes, **validation.hashes} == whole.hashes
    assert 8 <= validation.images <= 24 and train.images + validation.images == whole.images


def test_label_maps_follow_groups_of_image_files(mini_root: Path) -> None:
    work = mini_root.parent
    split, _ = open_splits(find_declaration("mini", work), "miou", work, work)
    hashes = check_split(split, "miou").hashes
    inside = min(check_split(_validation(split, work), "miou").hashes)
    others = [name for name in sorted(hashes) if name > inside][:5]
    joined = check_split(_validation(split, work, [(inside, name) for name in others]), "miou").hashes
    assert {inside, *others} <= joined.keys()


def _validation(split: Split, work: Path, groups: list[tuple[str, str]] | None = None) -> Split:
    return validation_splits(split, "miou", work, groups or [])[1]
