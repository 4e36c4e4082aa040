"""Reports: what is shown, counted, and raised as what."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from transfer.datasets.derived import derive, problems_of
from transfer.datasets.problems import Problem, gather, raise_problems, report
from transfer.errors import BadOption, BrokenAnnotation, CorruptImage, DataError, MissingData

SOURCE = Path("truth.json")
LAST = "Nothing was changed. Repair or replace these, then run the same command again."


def lines(*problems: Problem) -> list[str]:
    return report(problems, SOURCE).splitlines()


def of(sort: str, count: int) -> list[Problem]:
    return [Problem(f"{sort} {number} is odd") for number in range(count)]


def test_a_report_counts_and_lists() -> None:
    assert lines(Problem("a")) == ["1 problem in the data of truth.json", "  - a", LAST]
    assert lines(Problem("a"), Problem("b"))[:3] == ["2 problems in the data of truth.json", "  - a", "  - b"]


def test_missing_files_are_counted() -> None:
    gone = [Problem(f"{number}.jpg is gone", absent=True) for number in range(1234)]
    assert lines(*gone, Problem("a"))[0] == (
        "1235 problems in the data of truth.json (half-downloaded? 1,234 files are missing)"
    )


@pytest.mark.parametrize(("count", "shown"), [(20, 20), (21, 20), (1500, 20)])
def test_one_sort_is_cut_at_twenty(count: int, shown: int) -> None:
    found = lines(*of("box", count))
    assert found[1 : shown + 1] == [f"  - box {number} is odd" for number in range(shown)]
    rest = [f"  … and {count - shown:,} more like this"] if count > shown else []
    assert found[shown + 1 :] == [*rest, LAST]


def test_sorts_share_the_lines_and_stand_together() -> None:
    mixed = [problem for pair in zip(of("box", 12), of("mask", 12), strict=True) for problem in pair]
    found = lines(*mixed)
    assert found[1:11] == [f"  - box {number} is odd" for number in range(10)]
    assert found[11:13] == ["  … and 2 more like this", "  - mask 0 is odd"]
    assert len(found) == 1 + 2 * 11 + 1


def test_each_of_many_sorts_has_three_lines() -> None:
    found = lines(*(problem for sort in "abcdefghij" for problem in of(sort, 5)))
    assert found[1:5] == ["  - a 0 is odd", "  - a 1 is odd", "  - a 2 is odd", "  … and 2 more like this"]
    assert len(found) == 1 + 10 * 4 + 1


@pytest.mark.parametrize("texts", [("a/b.jpg is odd", "c/d.jpg is odd"), ("box [1, 2] is odd", "box [3] is odd")])
def test_paths_and_boxes_make_no_sorts(texts: tuple[str, str]) -> None:
    many = [Problem(text) for text in texts * 15]
    assert lines(*many)[-2] == "  … and 10 more like this"


def test_only_damaged_images_are_corrupt_images() -> None:
    raise_problems([], SOURCE)
    image, other = Problem("a", image=True), Problem("b")
    for problems, kind in (
        ([image, image], CorruptImage),
        ([image, other], BrokenAnnotation),
        ([other], BrokenAnnotation),
    ):
        with pytest.raises(DataError) as caught:
            raise_problems(problems, SOURCE)
        assert type(caught.value) is kind and str(caught.value) == report(problems, SOURCE)


def failing(error: Exception, ran: list[str]) -> int:
    ran.append(str(error))
    raise error


def test_all_checks_run_before_one_error() -> None:
    ran: list[str] = []
    assert gather([lambda: 1, lambda: 2]) == [1, 2]
    with pytest.raises(DataError) as caught:
        gather([lambda: failing(CorruptImage("a"), ran), lambda: 3, lambda: failing(CorruptImage("b"), ran)])
    assert type(caught.value) is CorruptImage and str(caught.value) == "a\n\nb" and ran == ["a", "b"]


def test_errors_of_two_sorts_are_broken_annotations_and_one_text_is_said_once() -> None:
    with pytest.raises(DataError) as caught:
        gather([lambda: failing(CorruptImage("a"), []), lambda: failing(MissingData("a"), [])])
    assert type(caught.value) is BrokenAnnotation and str(caught.value) == "a"
    with pytest.raises(BadOption):
        gather([lambda: failing(BadOption("not about data"), [])])


def test_what_was_derived_stays_until_a_source_or_its_meaning_changes(tmp_path: Path) -> None:
    source, calls = tmp_path / "source.txt", []
    source.write_text("one")

    def write(folder: Path) -> list[Problem]:
        calls.append(folder)
        (folder / "content").write_text(source.read_text())
        return [Problem("it is odd", image=True), Problem("a")]

    def folder(meaning: object = "m", name: str = "maps", sources: tuple[Path, ...] = (source,)) -> Path:
        return derive(tmp_path / "work", name, meaning, sources, write)

    first = folder()
    assert folder() == first and len(calls) == 1
    assert first.parent == tmp_path / "work" and first.name.startswith("maps-") and calls[0] != first
    assert (first / "content").read_text() == "one" and problems_of(first) == (Problem("it is odd"), Problem("a"))
    gone = tmp_path / "gone.txt"
    assert len({first, folder("other"), folder(name="boxes"), folder(sources=()), folder(sources=(gone, source))}) == 5
    source.write_text("longer")
    assert folder() != first and (folder() / "content").read_text() == "longer"


def test_a_source_that_appears_or_is_touched_is_another(tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    folders = [derive(tmp_path / "work", "a", 1, [source], lambda _: [])]
    for stamp in (10**9, 2 * 10**9):
        source.write_text("same")
        os.utime(source, ns=(stamp, stamp))
        folders.append(derive(tmp_path / "work", "a", 1, [source], lambda _: []))
    assert len(set(folders)) == 3


def test_the_same_source_by_another_path_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source.txt"
    source.write_text("same")
    monkeypatch.chdir(tmp_path)
    absolute, relative = (
        derive(tmp_path / "work", "a", 1, [path], lambda _: []) for path in (source, Path("source.txt"))
    )
    assert absolute == relative


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def write(folder: Path) -> list[Problem]:
        (folder / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        derive(tmp_path / "work", "a", 1, [], write)
    assert list((tmp_path / "work").iterdir()) == []
    assert problems_of(derive(tmp_path / "work", "a", 1, [], lambda _: [])) == ()
