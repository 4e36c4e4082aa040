"""No number of a metric changes without its definition, and no definition without its numbers.

`golden.json` holds the definition of each metric and its scores of a small test set. After a metric was added, or its
definition changed, `python -m tests.metrics.test_golden` writes it anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.metrics.samples import CLASSES, block_maps, sample_set, write_maps
from transfer.metrics.metric import Files, Metric
from transfer.metrics.registry import METRICS

GOLDEN = Path(__file__).with_name("golden.json")


def measured(metric: Metric, folder: Path) -> dict[str, Any]:
    """What the golden file says of a metric."""
    if metric.form.folder:
        files = Files(*write_maps(folder, block_maps()), CLASSES)
    else:
        truth, found = sample_set(images=12)
        files = Files(folder / "found.json", folder / "truth.json")
        files.predictions.write_text(json.dumps(found))
        files.truth.write_text(json.dumps(truth))
    scores = {name: round(value, 12) for name, value in metric.evaluate(files).items()}
    return {"definition": metric.definition, "scores": scores}


def complaint(metric: Metric, golden: Any, found: Any) -> str:
    """Why the two cannot stand beside each other; empty if they can."""
    if golden is None:
        return f"{metric.name}: golden.json has no scores. Run python -m tests.metrics.test_golden."
    same = found["scores"] == pytest.approx(golden["scores"], rel=0, abs=1e-9)
    if found["definition"] == golden["definition"]:
        return "" if same else f"{metric.name}: scores changed, the definition did not. Change it: scores never mix."
    return f"{metric.name}: the definition is not golden.json's. Run python -m tests.metrics.test_golden."


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_numbers_and_definition_belong_together(metric: Metric, tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert not complaint(metric, golden.get(metric.name), measured(metric, tmp_path))


def test_nothing_golden_is_left_over() -> None:
    assert list(json.loads(GOLDEN.read_text(encoding="utf-8"))) == [metric.name for metric in METRICS]


def test_scores_tell_predictions_apart(tmp_path: Path) -> None:
    """A golden test set on which everything is right, or nothing, would hide a change."""
    for metric in METRICS:
        (tmp_path / metric.name).mkdir()
        scores = measured(metric, tmp_path / metric.name)["scores"]
        assert all(0 < scores[name] < 1 for name in metric.headline), scores


def main() -> None:
    """Write the golden file; refuse numbers that changed under the same definition."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    written = {}
    for metric in METRICS:
        with TemporaryDirectory() as folder:
            written[metric.name] = measured(metric, Path(folder))
        old = golden.get(metric.name)
        if old is not None and old["definition"] == metric.definition:
            if text := complaint(metric, old, written[metric.name]):
                sys.exit(text)
            written[metric.name] = old
    GOLDEN.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
