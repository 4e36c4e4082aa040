from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.board.markdown import build_board, render_board
from transfer.errors import BrokenRecord
from transfer.results.store import write_record

SCORES = {"Detection AP": "AP", "Detection AP50": "AP50", "Segmentation mIoU": "mIoU"}

runs = st.fixed_dictionaries(
    {
        "checkpoint": st.sampled_from(["dino", "moco", "random"]),
        "task": st.sampled_from(["detection", "segmentation"]),
        "score": st.sampled_from([0.1, 0.2, 0.2001, 0.3, -1]),
        "backbone": st.sampled_from([{"arch": "resnet18"}, {"arch": "resnet50"}]),
        "seed": st.sampled_from([0, 1, 2]),
        "overrides": st.sampled_from([{}, {}, {"iterations": 4}]),
    }
)
others = st.sampled_from([{}, {}, {}, {"protocol": "new", "head": "other"}, {"suite": "gone"}])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(runs, others), min_size=1, max_size=30), st.sampled_from([(0,), (0, 1), (2, 0)]))
def test_every_rule_holds_for_any_records(suite, record, parsed, drawn, seeds):
    records = {item.run.record_name: item for run, other in drawn for item in [record(**run, **other)]}
    board = render_board([suite(*seeds)], list(records.values()))
    assert board == render_board([suite(*seeds)], list(records.values())[::-1])
    tables = parsed(board)
    for table in tables:
        rows = table["rows"]
        for column, score in SCORES.items():
            if column in table["columns"]:
                check_column([row[column] for row in rows], [row["control"] for row in rows], score, seeds, records)
        check_order(table, records)
    shown = {match for match in re.findall(r"\(([0-9a-f]{8})\)", board)}
    listed = board.partition("## Records in no table")[2]
    for key, item in records.items():
        expected = item.run.suite == "mini" and item.run.seed in seeds
        assert (item.run.origin in shown) if expected else (f"records/{key}.json" in listed)


def check_column(cells, controls, score, seeds, records):
    behind = [[records[key] for key in cell.ids] for cell in cells]
    values = [[item.scores[score] for item in items] for items in behind]
    linked = [item.run for items in behind for item in items]
    assert len({(run.protocol, str(run.overrides)) for run in linked}) <= 1
    means = [None if -1 in value or not value else round(100 * sum(value) / len(value), 1) for value in values]
    for cell, items, value, average in zip(cells, behind, values, means, strict=True):
        if not items:
            assert re.fullmatch("—[⁰¹²³⁴⁵⁶⁷⁸⁹]*", cell.text)
            continue
        assert [item.run.seed for item in items] == list(seeds)
        assert cell.text.startswith("n/a" if -1 in value else f"{average:.1f}")
        assert ("±" in cell.text) == (len(seeds) > 1 and -1 not in value)
    for cell, items, average, control in zip(cells, behind, means, controls, strict=True):
        known = [m for m in means if m is not None]
        assert cell.bold == (average is not None and len(known) > 1 and average == max(known) > min(known))
        rivals = [
            other_average
            for other_average, other, is_control in zip(means, behind, controls, strict=True)
            if is_control and other_average is not None and items
            if other[0].run.backbone == items[0].run.backbone
        ]
        assert cell.marked == (not control and average is not None and bool(rivals) and average <= max(rivals))


def check_order(table, records):
    headlines = [column for column in ("Detection AP", "Segmentation mIoU") if column in table["columns"]]
    ranks = []
    for row in table["rows"]:
        values = [[records[key].scores[SCORES[column]] for key in row[column].ids] for column in headlines]
        whole = all(value and -1 not in value for value in values)
        mean = sum(sum(value) / len(value) for value in values) if whole else 0
        ranks.append((row["control"], not whole, -round(mean, 9)))
    assert ranks == sorted(ranks)


def test_missing_seed_is_a_dash_with_a_note(suite, record, parsed):
    board = render_board([suite(0, 1, 2)], [record("dino", seed=seed) for seed in (0, 2)])
    (row,) = parsed(board)[0]["rows"]
    assert [row[column].text for column in SCORES] == ["—¹", "—¹", "—"]
    assert row["Wall time"].text == "—"
    assert re.search(r"^1\. `dino` \(\w+\), Detection: AP, AP50 missing for seed 1 of 0, 1, 2\.$", board, re.M)


def test_score_that_a_record_lacks_is_missing(suite, record, parsed):
    board = render_board([suite()], [record("dino", score={"AP": 0.5})])
    (row,) = parsed(board)[0]["rows"]
    assert [row[column].text for column in SCORES] == ["50.0", "—¹", "—"]
    assert "Detection: AP50 missing for seed 0 of 0." in board


def test_rows_are_ranked_by_the_mean_of_the_first_scores(suite, record, parsed):
    scores = {"dino": (0.3, 0.3), "moco": (0.2, 0.5), "mae": (0.9, None), "random": (0.8, 0.8)}
    pairs = [
        (name, task, score)
        for name, both in scores.items()
        for task, score in zip(("detection", "segmentation"), both, strict=True)
    ]
    board = render_board([suite()], [record(*pair) for pair in pairs if pair[2] is not None])
    names = [row["Checkpoint"].text.split("`")[1] for row in parsed(board)[0]["rows"]]
    assert names == ["moco", "dino", "mae", "random"]


def test_a_lone_row_is_not_the_best(suite, record, parsed):
    (row,) = parsed(render_board([suite()], [record("dino")]))[0]["rows"]
    assert not row["Detection AP"].bold


@pytest.mark.parametrize("head", ["frcnn", "old"])
def test_first_table_follows_the_head_of_the_suite_then_the_most_rows(suite, record, parsed, head):
    many = [record(name, protocol="zz", head="old") for name in ("moco", "mae")]
    board = render_board([suite()], [record("dino", protocol="aa", head=head), *many])
    first = [row["Checkpoint"].text.split("`")[1] for row in parsed(board)[0]["rows"]]
    assert first == (["dino"] if head == "frcnn" else ["mae", "moco"])


def test_seeds_are_summarised_as_mean_and_deviation(suite, record, parsed):
    board = render_board([suite(0, 1)], [record("dino", seed=0, score=0.30), record("dino", seed=1, score=0.34)])
    assert parsed(board)[0]["rows"][0]["Detection AP"].text == "32.0 ± 2.8"


def test_control_is_marked_and_what_does_not_beat_it(suite, record, parsed):
    scores = {"better": 0.3, "worse": 0.1, "equal": 0.20004, "random": 0.2}
    board = render_board([suite()], [record(name, score=score) for name, score in scores.items()])
    rows = parsed(board)[0]["rows"]
    assert [row["control"] for row in rows] == [False, False, False, True]
    assert {row["Checkpoint"].text.split("`")[1]: row["Detection AP"].marked for row in rows} == {
        "better": False, "worse": True, "equal": True, "random": False,
    }  # fmt: skip


def test_control_of_another_architecture_does_not_count(suite, record, parsed):
    board = render_board([suite()], [record("vit", backbone={"arch": "vit_small"}, score=0.1), record("random")])
    assert not any(row["Detection AP"].marked for row in parsed(board)[0]["rows"])
    assert "No complete control of `vit_small` to compare with: Detection." in board


def test_deviations_and_protocols_have_tables_of_their_own(suite, record, parsed):
    board = render_board(
        [suite()],
        [
            record("dino"),
            record("dino", "segmentation"),
            record("moco"),
            record("dino", protocol="new", head="new"),
            record("dino", overrides={"iterations": 4, "lr": 0.1}),
        ],
    )
    assert [
        (table["heading"], [row["Checkpoint"].text.split()[0] for row in table["rows"]]) for table in parsed(board)
    ] == [
        ("## The mini suite", ["`dino`", "`moco`"]),
        ("### Detection under protocol `new`", ["`dino`"]),
        ("### Not the standard protocol: `iterations=4`, `lr=0.1`", ["`dino`"]),
    ]


def test_protocol_list_names_head_and_data(suite, record):
    board = render_board([suite()], [record("dino")])
    assert (
        "- Detection: head `frcnn` on `toy` (size `mini`), protocol `det-protocol`, train data `1f1f1f1f1f1f` "
        "(96 images), test data `2e2e2e2e2e2e` (48 images)."
    ) in board
    assert "- Segmentation: head `aspp` on `toy` (size `mini`), no runs yet." in board


def test_contradicting_data_of_one_protocol_shows(suite, record):
    other = record("moco")
    other.data["test"]["images"] = 5
    board = render_board([suite()], [record("dino"), other])
    assert "test data `2e2e2e2e2e2e` (48 images) and `2e2e2e2e2e2e` (5 images)" in board


@pytest.mark.parametrize(("coverage", "text"), [(1.0, "100.0"), (0.99999, "99.9"), (0.5, "50.0")])
def test_coverage_is_rounded_down(suite, record, parsed, coverage, text):
    board = render_board([suite()], [record("dino", coverage=coverage), record("random")])
    assert [row["Coverage %"].text for row in parsed(board)[0]["rows"]] == [text, "n/a"]


def test_wall_time_sums_the_row(suite, record, parsed):
    board = render_board(
        [suite(0, 1)], [record("dino", t, seed=s) for t in ("detection", "segmentation") for s in (0, 1)]
    )
    assert parsed(board)[0]["rows"][0]["Wall time"].text == "4.0 min"


def test_records_in_no_table_are_listed(suite, record):
    board = render_board([suite()], [record("dino", suite="coco"), record("moco", seed=7), record("mae", "pose")])
    notes = board.partition("## Records in no table")[2].partition("##")[0]
    assert "No suite `coco` is declared here: [`dino-" in notes
    assert "Suite `mini` does not ask for seed 7: [`moco-" in notes
    assert "Suite `mini` has no task `pose`: [`mae-" in notes


def test_names_cannot_break_the_table_or_its_links(suite, record, parsed):
    item = record("a|b `c` (d) é")
    table, = parsed(render_board([suite()], [item]))  # fmt: skip
    (row,) = table["rows"]
    assert row["Detection AP"].ids == (item.run.record_name,)


def test_suites_without_records_are_left_out(suite, record):
    board = render_board([suite(name="coco"), suite()], [record("dino")])
    assert "The coco suite" not in board
    assert "No records yet" in render_board([suite()], [])


def test_board_is_built_from_files_and_its_links_lead_to_them(tmp_path, suite, record, parsed):
    for name in ("dino é", "random"):
        write_record(tmp_path / "records", record(name))
    path = build_board(tmp_path, [suite()])
    assert path == tmp_path / "README.md"
    ids = [key for row in parsed(path.read_text("utf-8"))[0]["rows"] for key in row["Detection AP"].ids]
    assert len(ids) == 2
    assert all((tmp_path / "records" / f"{key}.json").is_file() for key in ids)


def test_damaged_record_leaves_the_old_board(tmp_path, suite, record):
    written = write_record(tmp_path / "records", record("dino"))
    before = build_board(tmp_path, [suite()]).read_text("utf-8")
    written.write_text("{")
    with pytest.raises(BrokenRecord, match=written.name):
        build_board(tmp_path, [suite()])
    assert (tmp_path / "README.md").read_text("utf-8") == before


def test_needs_the_standard_library_only():
    blocked = ["torch", "timm", "torchvision", "numpy", "PIL", "pycocotools", "safetensors", "cv2"]
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked}))\n"
        "import transfer.board.markdown as board, transfer.board.terminal as terminal\n"
        "print(terminal.as_text(board.render_board([], [])))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "No records yet" in done.stdout
