from __future__ import annotations

import json
import random
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.datasets.declaration import find_declaration
from transfer.datasets.layouts import Pair
from transfer.datasets.opening import open_splits
from transfer.datasets.preflight import check_split
from transfer.datasets.subsets import Amount, Labels, choose, read_amount, subset_of
from transfer.errors import BadOption

SETS = st.dictionaries(
    st.text("abcdefgh0123456789", min_size=1, max_size=6), st.frozensets(st.integers(0, 6), max_size=4), max_size=60
)
SHARES = st.fractions(Fraction(1, 200), 1)


def _classes(labels: Labels, names: frozenset[str]) -> set[int]:
    return {label for name in names for label in labels[name]}


@given(SETS, SHARES, SHARES)
def test_a_smaller_share_lies_inside_a_larger_one(labels: Labels, one: Fraction, other: Fraction) -> None:
    small, large = (choose(labels, Amount(share=share)).names for share in sorted((one, other)))
    assert small <= large <= labels.keys()


@given(SETS, st.integers(1, 5), st.integers(1, 5))
def test_fewer_images_per_class_lie_inside_more(labels: Labels, one: int, other: int) -> None:
    small, large = (choose(labels, Amount(per_class=k)).names for k in sorted((one, other)))
    assert small <= large


@given(SETS, SHARES, st.randoms())
def test_the_order_of_the_images_changes_nothing(labels: Labels, share: Fraction, shuffler: random.Random) -> None:
    turned = list(labels.items())
    shuffler.shuffle(turned)
    for amount in (Amount(share=share), Amount(per_class=2)):
        assert choose(dict(turned), amount) == choose(labels, amount)


@given(SETS, SHARES)
def test_a_share_has_its_size_and_covers_the_classes_or_says_so(labels: Labels, share: Fraction) -> None:
    useful = frozenset(name for name, shown in labels.items() if shown)
    subset = choose(labels, Amount(share=share))
    expected = min(len(useful), max(1, int(share * len(useful) + Fraction(1, 2))))
    assert len(subset.names) == expected and subset.names <= useful
    absent = _classes(labels, useful) - _classes(labels, subset.names)
    assert bool(absent) == bool(subset.shortfalls)
    assert not absent or str(len(absent)) in subset.shortfalls[0]
    if expected >= 7:  # a greedy cover of seven classes takes no more images than there are classes
        assert not absent


@given(SETS, st.integers(1, 4))
def test_each_class_has_its_images_as_far_as_there_are_any(labels: Labels, wanted: int) -> None:
    subset = choose(labels, Amount(per_class=wanted))
    everywhere, chosen = (
        {c: sum(c in labels[name] for name in names) for c in range(7)} for names in (labels, subset.names)
    )
    assert all(chosen[c] >= min(wanted, everywhere[c]) for c in range(7))
    assert len(subset.names) <= 7 * wanted
    assert bool(subset.shortfalls) == any(0 < everywhere[c] < wanted for c in range(7))


def test_the_choice_is_fixed_for_all_time() -> None:
    labels = {f"{n:03d}.jpg": frozenset({n % 3}) for n in range(40)}
    assert sorted(choose(labels, Amount(share=Fraction(1, 10))).names) == FIXED


FIXED = ["003.jpg", "009.jpg", "022.jpg", "038.jpg"]
"""Published scores of a subset belong to these images: a change here is another data set."""


@pytest.mark.parametrize(
    "text, spelled", [("10%", "10%"), ("1.50 %", "1.5%"), ("100%", "100%"), ("5pc", "5pc"), (" 5 per class", "5pc")]
)
def test_an_amount_has_one_spelling(text: str, spelled: str) -> None:
    assert str(read_amount(text)) == spelled


@pytest.mark.parametrize("text", ["", "10", "0%", "101%", "-5%", "0pc", "1.5pc", "ten%", "5 images"])
def test_an_amount_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadOption, match="--subset takes a share"):
        read_amount(text)


def _open(dataset: str, kind: str, root: Path, work: Path) -> Pair:
    return open_splits(find_declaration(dataset, root), kind, root, work)


@pytest.mark.parametrize("kind", ["boxes", "masks", "keypoints", "label_maps"])
def test_a_part_of_mini_is_a_data_set_with_the_same_labels(mini_root: Path, kind: str) -> None:
    work = mini_root.parent
    train, _ = _open("mini", kind, work, work)
    full = check_split(train, kind)
    fewer, more = (subset_of(train, kind, text, work)[0] for text in ("5%", "10%"))
    small, large = check_split(fewer, kind), check_split(more, kind)
    assert (small.classes, small.category_ids) == (full.classes, full.category_ids)
    assert 0 < small.images < large.images < full.images
    assert set(small.hashes.items()) < set(large.hashes.items()) < set(full.hashes.items())
    assert all(bool(part) == bool(whole) for part, whole in zip(large.counts, full.counts, strict=True))


def test_a_pose_subset_has_persons_with_joints_only(shared_data: Path, tmp_path: Path) -> None:
    train, _ = _open("coco-mini", "keypoints", shared_data, tmp_path)
    part, subset = subset_of(train, "keypoints", "100%", tmp_path)
    truth = json.loads(part.annotations.read_text(encoding="utf-8"))
    posed = {entry["image_id"] for entry in truth["annotations"] if entry["num_keypoints"]}
    assert len(subset.names) == 28 and posed == {image["id"] for image in truth["images"]}
