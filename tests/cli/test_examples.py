"""Every example of every verb's help runs, those that train shortened."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from tests.cli.walk import commands
from tests.reader import draw_images, save_checkpoint, write_predictions
from transfer import cli

ROOT = Path(__file__).resolve().parents[2]
FEW = ["--tasks", "pose", "--steps", "2", "--images-per-step", "2"]
SHORTENED = {"eval": FEW, "curve": FEW, "pretrain": ["--minutes", "0.02"]}
TRAIN = {"eval", "curve", "show", "rescore"}
EXAMPLES = [
    pytest.param(example, id=example, marks=[pytest.mark.slow] if str(command) in TRAIN else [])
    for command in commands()
    for example in command.examples
]


@pytest.fixture(scope="module")
def folder(work_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader would stand: with what the examples name."""
    here = tmp_path_factory.mktemp("reader")
    save_checkpoint(here)
    draw_images(here)
    write_predictions(here)
    shutil.copytree(work_dir / "data" / "mini", here / "work_dirs" / "data" / "mini")
    shutil.copytree(ROOT / "leaderboard" / "records", here / "leaderboard" / "records")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        assert cli.main(["dedup", "index", "images", "-o", "corpus.index", "--processes", "1"]) == 0
        assert cli.main(["dedup", "check", "corpus.index", "images", "-o", "overlap.json"]) == 0
    return here


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    """The folder of a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(["eval", "ckpt.pth", "mini", *FEW]) == 0
    return next(folder.glob("work_dirs/*/record.json")).parent


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(
    example: str, folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("TRANSFER_DATA", raising=False)
    arguments = shlex.split(example)[1:]
    if arguments[0] in ("show", "rescore"):
        run = str(request.getfixturevalue("finished"))
        arguments = [run if argument == "work_dirs/RUN" else argument for argument in arguments]
    assert cli.main([*arguments, *SHORTENED.get(arguments[0], ())]) == 0


def test_the_first_examples_are_commands() -> None:
    """Those of `transfer --help`, whose COCO is not here, are only parsed."""
    lines = [line.strip().split("   ")[0] for line in cli.EXAMPLES.splitlines() if line.startswith("  ")]
    assert len(lines) >= 5
    for line in lines:
        cli.parser().parse_args(shlex.split(line)[1:])
