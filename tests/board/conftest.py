from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pytest

from transfer.schemas.record import Record
from transfer.schemas.run import CONTROL, RunSpec
from transfer.schemas.suite import Suite, Task

DETECTION = Task("detection", "Detection", "frcnn", "toy", "mini", "bbox", ("AP", "AP50"))
SEGMENTATION = Task("segmentation", "Segmentation", "aspp", "toy", "mini", "miou", ("mIoU",))


@pytest.fixture(scope="session")
def suite() -> Callable[..., Suite]:
    """A suite of two tasks at the given seeds."""

    def make(*seeds: int, name: str = "mini") -> Suite:
        return Suite(name, f"The {name} suite", "Small.", seeds or (0,), (DETECTION, SEGMENTATION))

    return make


@pytest.fixture(scope="session")
def record() -> Callable[..., Record]:
    """A record of `checkpoint` on `task`; all scores are `score` unless given one by one, keywords change the run."""

    def make(
        checkpoint: str, task: str = "detection", score: Any = 0.5, coverage: float = 1.0, **changes: Any
    ) -> Record:
        known = DETECTION if task == "detection" else SEGMENTATION
        weights = CONTROL if checkpoint == CONTROL else checkpoint
        run = {"checkpoint": checkpoint, "weights": weights, "backbone": {"arch": "resnet18"}, "input": {},
               "suite": "mini", "task": task, "head": known.head, "dataset": "toy", "size": "mini",
               "arguments": {}, "seed": 0, "overrides": {},
               "work": f"{task[:3]}-work", "protocol": f"{task[:3]}-protocol", **changes}  # fmt: skip
        return Record(
            run=RunSpec(**run),
            scores=score if isinstance(score, dict) else dict.fromkeys(known.scores, score),
            certificate=None if weights == CONTROL else {"coverage": coverage},
            data={"train": {"sha256": "1f" * 32, "images": 96}, "test": {"sha256": "2e" * 32, "images": 48}},
            cost={"fit_seconds": 50.0, "predict_seconds": 9.0, "score_seconds": 1.0, "images_seen": 640},
            environment={},
            predictions={},
            created="2026-11-21T00:00:00Z",
        )

    return make


@dataclass(frozen=True)
class ParsedCell:
    """A cell read back: its text without links, marks and emphasis, and the ids of the records it links to."""

    text: str
    ids: tuple[str, ...]
    bold: bool
    marked: bool


def parse_cell(source: str) -> ParsedCell:
    ids = tuple(unquote(target) for target in re.findall(r"\(records/(.*?)\.json\)", source))
    text = re.sub(r"<sup>.*</sup>", "", source)
    text = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", text)
    return ParsedCell(re.sub(r"[▽*]", "", text).strip(), ids, "**" in source, "▽" in source)


@pytest.fixture(scope="session")
def parsed() -> Callable[[str], list[dict[str, Any]]]:
    """The tables of a board: nearest heading, column names, and rows from column name to cell."""

    def parse(board: str) -> list[dict[str, Any]]:
        tables: list[dict[str, Any]] = []
        heading, columns = "", None
        for line in board.splitlines():
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if line.startswith("#"):
                heading = line
            if not line.startswith("|"):
                columns = None
            elif columns is None:
                columns = cells
                tables.append({"heading": heading, "columns": columns, "rows": []})
            elif not cells[0].startswith(":"):
                row = {name: parse_cell(cell) for name, cell in zip(columns, cells, strict=True)}
                tables[-1]["rows"].append({**row, "control": cells[0].startswith("*control*")})
        return tables

    return parse
