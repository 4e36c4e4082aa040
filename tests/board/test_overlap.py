"""Tables say how many test images the pre-training images hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from transfer.board.markdown import render_board

MEASURED = {
    "status": "measured",
    "manifests": [{"sha256": "ab", "corpus": {"name": "web.index", "images": 9, "sha256": "cd"}}],
    "counts": {"images": 200, "clean": 180, "duplicate": 17, "candidate": 2, "undecidable": 1},
    "full": {"AP": 0.5, "AP50": 0.7},
    "duplicate": {"AP": 0.9, "AP50": -1},
    "gap": {"AP": {"full": 0.5, "gap": 0.02, "low": 0.005, "high": 0.031}},
}


def test_a_row_says_what_is_known(suite, record, parsed):
    by_formula = {"status": "none by construction", "why": "drawn from formulas"}
    records = [replace(record("a"), overlap=by_formula), record("b")]
    rows = parsed(render_board([suite(0)], records))[0]["rows"]
    assert {row["Checkpoint"].text.split()[0]: row["Overlap"].text for row in rows} == {"`a`": "none", "`b`": "unknown"}


def test_one_task_that_nobody_compared_leaves_the_row_unknown(suite, record, parsed):
    by_formula = {"status": "none by construction", "why": "drawn from formulas"}
    records = [replace(record("a"), overlap=by_formula), record("a", "segmentation")]
    assert parsed(render_board([suite(0)], records))[0]["rows"][0]["Overlap"].text == "unknown"


def test_rows_over_fewer_images_have_a_table_of_their_own(suite, record, parsed):
    clean = replace(record("a", score={"AP": 0.48, "AP50": 0.7}, excluded="12" * 8, protocol="clean"), overlap=MEASURED)
    board = render_board([suite(0)], [record("a"), clean])
    full, without = parsed(board)
    assert without["heading"].startswith(
        "### Without test images that resemble some of `web.index` (overlap `12121212`)"
    )
    assert [table["rows"][0]["Overlap"].text for table in (full, without)] == ["unknown", "8.5"]
    assert (
        "17 of 200 test images left out, 3 undecided, full 50.0, clean 48.0, those alone 90.0, "
        "full − clean +2.0 (+0.5 to +3.1)." in board
    )


@pytest.mark.parametrize("gap", [{}, {"AP": {"gap": None, "low": None, "high": None}}])
def test_a_gap_that_nothing_defines_is_left_out(suite, record, gap):
    clean = replace(record("a", excluded="12" * 8), overlap={**MEASURED, "gap": gap})
    board = render_board([suite(0)], [clean])
    assert "those alone 90.0." in board and "full − clean" not in board


@pytest.mark.parametrize(
    ("said", "text"), [({}, "(48 images)"), ({"looks_like_train": 3}, "(48 images, 3 of them like one of train)")]
)
def test_a_data_set_that_leaks_says_so(suite, record, said, text):
    made = record("a")
    made = replace(made, data={**made.data, "test": {**made.data["test"], **said}})
    assert f"test data `2e2e2e2e2e2e` {text}" in render_board([suite(0)], [made])
