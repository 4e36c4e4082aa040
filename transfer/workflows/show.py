"""A finished run → show.png (truth beside predictions) and curves.png."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from transfer.errors import BadOption, RunError
from transfer.files.atomic import replacing
from transfer.metrics.metric import Files
from transfer.pictures.curves import plot_run
from transfer.pictures.sheet import contact_sheet
from transfer.schemas.run import RunSpec
from transfer.schemas.suite import Task
from transfer.workflows.finished import open_finished
from transfer.workflows.views import RunFiles, Shown, view_of


def show(folder: Path, output: Path, images: int = 3) -> str:
    """Draw the `images` best, median and worst test images of the run in `folder` to `output` (PNG); its curves beside.

    Returns what was written, as text. Raises RunError for a folder without a finished run.
    """
    done = open_finished(folder)
    run, view = done.run, view_of(done.metric.annotations)
    files = Files(folder / done.metric.form.saved_as, done.test.annotations, done.classes)
    tests = sorted(view.tests(RunFiles(files, done.image)), key=_order)
    rows = [[test.draw(f"{what} · {test.agreement:.2f} · {test.name}") for test in part] for what, part in
            _parts(tests, images)]  # fmt: skip
    title = f"{run.checkpoint} · {run.suite} {run.task} seed {run.seed} · left: truth, right: predictions"
    with replacing(output) as temporary:
        contact_sheet(title, rows, view.legend(files)).save(temporary, format="PNG")
    curves = output.with_name(f"{output.stem}_curves.png")
    _plot(folder, run, done.task, curves)
    return f"wrote {output} ({sum(map(len, rows))} of {len(tests)} test images) and {curves}"


def _order(test: Shown) -> tuple[float, str]:
    return -test.agreement, test.name


def _parts(tests: Sequence[Shown], images: int) -> list[tuple[str, Sequence[Shown]]]:
    """The best, those in the middle, the worst: no image twice."""
    if not tests:
        raise RunError("none of the run's test images shows anything to find, so there is nothing to show.")
    if images < 1:
        raise BadOption(f"--images must be at least 1, not {images}.")
    best, others = tests[:images], tests[images:]
    worst = others[max(0, len(others) - images) :]
    middle = others[: len(others) - len(worst)]
    start = max(0, (len(middle) - images) // 2)
    parts = [("best", best), ("median", middle[start : start + images]), ("worst", worst)]
    return [(what, part) for what, part in parts if part]


def _plot(folder: Path, run: RunSpec, task: Task, output: Path) -> None:
    lines = (folder / "losses.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [(point["step"], point["loss"]) for point in map(json.loads, lines)]
    path = folder / "score_curve.json"
    curve = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    scores = {name: [(point["step"], point["scores"][name]) for point in curve] for name in task.scores if curve}
    with replacing(output) as temporary:
        plot_run(temporary, f"{run.checkpoint} · {task.title} · seed {run.seed}", losses, scores)
