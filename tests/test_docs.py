"""The documents agree with the code, and their commands and examples run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from tests.openmmlab.test_user_heads import COCO_DETECTION, RETINANET
from tests.reader import draw_images, save_checkpoint, write_predictions
from transfer import cli
from transfer.checkpoints.families import families_table
from transfer.datasets.declaration import find_declaration
from transfer.files.places import head_path, suite_path
from transfer.metrics.registry import find_metric
from transfer.openmmlab.head_files import load_head
from transfer.openmmlab.user_heads import UserHead
from transfer.schemas.suite import load_suite

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEXTS = {file.name: file.read_text(encoding="utf-8") for file in sorted(DOCS.glob("*.md"))}
COMMANDS = [
    command.split("  #")[0].strip()
    for text in TEXTS.values()
    for command in re.findall(r"^    (transfer .*)$", text, re.MULTILINE)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader would stand: a checkpoint, and the examples of the rules and of a data set."""
    here = tmp_path_factory.mktemp("docs")
    save_checkpoint(here)
    (example,) = re.findall(r"```toml\n(.*?)```", TEXTS["rules.md"], re.DOTALL)
    (here / "my_rules.toml").write_text(example, encoding="utf-8")
    _street(here / "data")
    write_predictions(here)
    draw_images(here)
    return here


def _street(data: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", TEXTS["datasets.md"], re.DOTALL)
    for split in ("train", "test"):
        for folder in ("photos", "masks"):
            (data / folder / split).mkdir(parents=True)
        for value in (0, 1, 7):
            Image.new("RGB", (8, 8), (value, value, value)).save(data / "photos" / split / f"{value}.jpg")
            Image.new("L", (8, 8), value).save(data / "masks" / split / f"{value}.png")
    (data / "street.toml").write_text(example, encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("TRANSFER_DATA", raising=False)
    assert cli.main(shlex.split(command)[1:]) == 0


def test_the_suite_and_the_head_of_the_example_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFER_DATA", str(folder / "data"))
    (text,) = re.findall(r"```toml\n(.*?)```", TEXTS["suites.md"], re.DOTALL)
    (folder / "data" / "suites").mkdir()
    (folder / "data" / "suites" / "streets.toml").write_text(text, encoding="utf-8")
    (task,) = load_suite(suite_path("streets")).tasks
    config = load_head(head_path(task.head)).config(task.size, task.arguments)
    assert config.train_cfg.max_iters == 500
    assert find_metric(task.metric).annotations in find_declaration(task.dataset, folder / "data").annotations
    (head,) = re.findall(r"```python\n(.*?)```", TEXTS["suites.md"], re.DOTALL)
    for name, base in (("retinanet", RETINANET), ("coco_detection", COCO_DETECTION)):
        (folder / f"{name}.py").write_text(base, encoding="utf-8")
    (folder / "head.py").write_text(head, encoding="utf-8")
    assert UserHead.read(folder / "head.py").config.train_cfg.max_iters == 90_000


def test_the_list_of_families_is_the_generated_one() -> None:
    _, rest = TEXTS["checkpoints.md"].split("<!-- families -->\n")
    table, _ = rest.split("<!-- end of families -->\n")
    assert table == families_table(), "run `make docs` to write the list of families again"
