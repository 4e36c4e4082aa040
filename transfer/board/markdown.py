"""Render the leaderboard as Markdown, for GitHub."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer.board.cells import link, missing_note, table_lines
from transfer.board.overlap import describe_excluded, gap_lines
from transfer.board.tables import Table, left_out, tables_of
from transfer.board.texts import code, training
from transfer.files.atomic import replacing
from transfer.results.store import read_records, upgrade_records
from transfer.schemas.record import Record
from transfer.schemas.suite import Suite, Task, load_suite

LEGEND = """\
## How to read this

- Scores are percentages, higher is better; every number links to the record it comes from.
- `—` is a missing result: a cell needs every seed of its suite, and there are no partial means. `n/a` is a value that
  does not exist, such as the AP of small objects where there are none.
- With several seeds a cell is mean ± standard deviation, followed by a link per seed.
- *control* is the same network from a random initialisation, through the same path. ▽ marks a score that does not beat
  the best control of its architecture in the same table: there the pre-training did not help.
- **Bold** is the best of its column, where rows differ. Rows are ordered by the mean over the first score of each task,
  incomplete rows after complete ones, controls last.
- Overlap is the share of test images, in percent, that the pre-training images hold; *none* by construction where they
  were drawn from formulas or there were none; *unknown* where nobody has compared (`transfer dedup`). A table without
  those images says so above it, and below it what they add to the full score.
- Coverage is the share of the backbone's parameters and buffers that came from the checkpoint file, rounded down.
- Wall time is fine-tuning, prediction and scoring of the whole row, on the machine that its records name.
- A table compares runs of one protocol (head, metric and data) only; other protocols have tables of their own.
"""

EMPTY = "No records yet. Evaluate a checkpoint with `tools/eval.sh CKPT SUITE`, then run `transfer leaderboard`.\n"


def build_board(folder: Path, suites: Sequence[Suite]) -> Path:
    """Write `folder/README.md` from `folder/records/*.json`. Raises BrokenRecord, and then leaves the old one.

    Records of an earlier schema are written anew; suites that are none of `suites` stand in `folder/suites/*.toml`.
    """
    upgrade_records(folder / "records")
    kept = [load_suite(path) for path in sorted((folder / "suites").glob("*.toml"))]
    others = [suite for suite in kept if suite.name not in {known.name for known in suites}]
    board = render_board([*suites, *others], read_records(folder / "records"))
    path = folder / "README.md"
    with replacing(path) as temporary:
        temporary.write_text(board, encoding="utf-8")
    return path


def render_board(suites: Sequence[Suite], records: Sequence[Record]) -> str:
    """Render the leaderboard of `records`, in any order, as Markdown: a section per suite that has some."""
    ordered = sorted(records, key=lambda record: record.run.record_name)
    sections = [_section(suite, tables) for suite in suites if (tables := tables_of(suite, ordered))]
    parts = ["# Leaderboard\n", *(sections or [EMPTY]), _not_shown(suites, ordered), LEGEND]
    return "\n".join(part for part in parts if part)


def _section(suite: Suite, tables: Sequence[Table]) -> str:
    return "\n".join([f"## {suite.title}\n", f"{suite.description}\n", *map(_table, tables)])


def _table(table: Table) -> str:
    notes = [note for row in table.rows for task in table.tasks if (note := missing_note(table, row, task))]
    numbered = [f"{number}. {note}" for number, note in enumerate(notes, start=1)]
    blocks = [
        _heading(table),
        table_lines(table, notes),
        numbered,
        gap_lines(table),
        _uncontrolled(table),
        _protocols(table),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _heading(table: Table) -> list[str]:
    """Say what differs above any table but the standard one, above which nothing stands."""
    changes = ", ".join(code(f"{key}={json.dumps(value)}") for key, value in sorted(table.overrides.items()))
    what = [f"not the standard protocol: {changes}"] if changes else []
    if excluded := describe_excluded(table):
        what.insert(0, excluded)
    if not table.standard:
        task = table.tasks[0]
        what.insert(0, f"{task.title} under protocol {code(table.protocols[task.name])}")
    if not what:
        return []
    text = "; ".join(what)
    return [f"### {text[0].upper()}{text[1:]}", "", "Not comparable with the other tables of this suite."]


def _uncontrolled(table: Table) -> list[str]:
    """Say where nothing tells what pre-training adds."""
    tasks: dict[str, list[str]] = {}
    for task in table.tasks:
        for arch in sorted({row.arch for row in table.rows if table.lacks_control(row, task)}):
            tasks.setdefault(arch, []).append(task.title)
    return [f"No complete control of {code(arch)} to compare with: {', '.join(tasks[arch])}." for arch in tasks]


def _protocols(table: Table) -> list[str]:
    seeds = ", ".join(map(str, table.suite.seeds))
    return [f"Protocols (seed {seeds}):", "", *(_protocol(table, task) for task in table.tasks)]


def _protocol(table: Table, task: Task) -> str:
    records = [record for row in table.rows for (name, _), record in row.records.items() if name == task.name]
    if not records:
        return f"- {task.title}: {training(task)}, no runs yet."
    trained = " and ".join(sorted({training(record.run) for record in records}))
    data = [f"{use} data {_manifests(records, use)}" for use in ("train", "test")]
    return f"- {task.title}: {trained}, protocol {code(table.protocols[task.name])}, {', '.join(data)}."


def _manifests(records: Sequence[Record], use: str) -> str:
    """Say hash and size of the data; several only if records of one protocol contradict each other."""
    manifests = [record.data.get(use, {}) for record in records]
    texts = {f"{code(str(m.get('sha256', 'unknown'))[:12])} ({_images(m)})" for m in manifests}
    return " and ".join(sorted(texts))


def _images(manifest: Mapping[str, Any]) -> str:
    """Say how many images there are, and how many of test resemble one of train.

    That is nothing that a run can be blamed for, but to be known.
    """
    leaked = max(manifest.get(key, 0) for key in ("also_in_train", "looks_like_train"))
    note = f", {leaked} of them like one of train" if leaked else ""
    return f"{manifest.get('images', 'unknown')} images{note}"


def _not_shown(suites: Sequence[Suite], records: Sequence[Record]) -> str:
    reasons: dict[str, list[str]] = {}
    for record in records:
        if reason := left_out(record, suites):
            reasons.setdefault(reason, []).append(link(code(record.run.id), record))
    lines = [f"- {reason[0].upper()}{reason[1:]}: {', '.join(links)}." for reason, links in reasons.items()]
    return "\n".join(["## Records in no table\n", *lines, ""]) if lines else ""
