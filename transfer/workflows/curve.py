"""A checkpoint on growing parts of a suite's training images → records, curves and their plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from transfer.board.plots import plot_data_curves
from transfer.datasets.subsets import read_amount
from transfer.errors import BadOption
from transfer.files.atomic import replacing, write_json
from transfer.launch.processes import on_first, process_group
from transfer.results.curves import SUBSET, Curve, curves_of
from transfer.results.store import read_records
from transfer.schemas.mapping import plain
from transfer.schemas.suite import Suite, load_suite, suite_path
from transfer.workflows.evaluate import Request, evaluate, prepare

WHOLE = "100%"


def requests_for(request: Request, amounts: Sequence[str]) -> list[Request]:
    """`request` on each part of the training images; all of them are no deviation, but the suite's own row."""
    if SUBSET in request.deviations.overrides:
        raise BadOption("--subset is what a curve varies. Name the parts with --subsets.")
    spelled = list(dict.fromkeys(str(read_amount(amount)) for amount in amounts))
    if len(spelled) < 2:
        raise BadOption(f"--subsets needs two or more different parts, as 1%,10%,100%; got {', '.join(amounts)}.")
    return [_on(request, amount) for amount in spelled]


def trace(request: Request, amounts: Sequence[str]) -> tuple[str, Path]:
    """Evaluate on each of `amounts`, and draw the curves of everything on the board that has been run on such parts.

    Returns the curves as text, and the path of the plot, beside which a JSON file of the same name holds the numbers.
    Every error that can be met before training is raised before the first run starts.
    """
    requests = requests_for(request, amounts)
    with process_group():
        on_first(lambda: [prepare(each) and None for each in requests])
        for each in requests:
            evaluate(each)
        return on_first(lambda: _publish(request))


def _on(request: Request, amount: str) -> Request:
    overrides = {**request.deviations.overrides, **({} if amount == WHOLE else {SUBSET: amount})}
    return replace(request, deviations=replace(request.deviations, overrides=overrides))


def _publish(request: Request) -> tuple[str, Path]:
    suite = load_suite(suite_path(request.suite))
    curves = curves_of(suite, read_records(request.board / "records"))
    path = request.board / "curves" / f"{suite.name}.png"
    with replacing(path) as temporary:
        plot_data_curves(temporary, suite.title, _panels(suite, curves))
    write_json(path.with_suffix(".json"), plain([_as_json(curve) for curve in curves]))
    return "\n".join(_describe(suite, curve) for curve in curves), path


def _panels(suite: Suite, curves: Sequence[Curve]) -> Mapping[str, Sequence[Curve]]:
    """Title of each task that has curves → its curves."""
    found = {f"{task.title} {task.scores[0]}": [c for c in curves if c.task == task.name] for task in suite.tasks}
    return {title: those for title, those in found.items() if those}


def _as_json(curve: Curve) -> dict[str, object]:
    return {**vars(curve), "points": [vars(point) for point in curve.points], "fit": vars(curve.fit)}


def _describe(suite: Suite, curve: Curve) -> str:
    task = suite.task(curve.task)
    points = ", ".join(f"{100 * point.value:.1f} at {point.images:,}" for point in curve.points)
    fit = curve.fit
    error = "" if fit.error is None else f" ± {100 * fit.error:.1f}"
    line = f"{100 * fit.per_tenfold:+.1f}{error} for ten times the images (R² {fit.explained:.2f})"
    return f"{curve.checkpoint}, {task.title} {task.scores[0]}: {points}; {line}"
