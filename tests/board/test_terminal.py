from __future__ import annotations

import re

from transfer.board.markdown import render_board
from transfer.board.terminal import as_text


def test_tables_are_aligned_and_free_of_markup(suite, record, parsed):
    records = [record(name, task, seed=seed) for name in ("dino|small", "moco_v2_800_epochs", "random")
               for task in ("detection", "segmentation") for seed in (0, 1)]  # fmt: skip
    board = render_board([suite(0, 1)], records[1:])
    lines = as_text(board).splitlines()
    (rule,) = [number for number, line in enumerate(lines) if line.startswith("---")]
    ends = [match.end() for match in re.finditer("-+", lines[rule])]
    assert len(ends) == len(parsed(board)[0]["columns"])
    rows = lines[rule + 1 : rule + 4]
    for line in rows:
        for end in ends[2:]:  # numbers stand on the right, two spaces between columns
            assert line[end - 1 : end].strip()
            assert line[end : end + 2].strip() == ""
    assert [line.split()[0] for line in rows] == ["moco_v2_800_epochs", "dino|small", "control"]
    assert not re.search(r"records/|<sup>|\*\*|`|\\", as_text(board))


def test_every_number_is_kept(suite, record, parsed):
    board = render_board([suite()], [record("dino", score=0.1234), record("random", score=0.2)])
    text = as_text(board)
    shown = [
        cell.text for row in parsed(board)[0]["rows"] for name, cell in row.items() if name.startswith("Detection")
    ]
    assert shown == ["12.3", "12.3", "20.0", "20.0"]
    assert all(number in text for number in shown)
    assert text.count("▽") == board.count("▽")
