"""The documents agree with the code, and their commands and examples run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from transfer import cli
from transfer.checkpoints.families import FAMILIES

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEXTS = {file.name: file.read_text(encoding="utf-8") for file in sorted(DOCS.glob("*.md"))}
COMMANDS = [
    command.split("  #")[0].strip()
    for text in TEXTS.values()
    for command in re.findall(r"^    (transfer .*)$", text, re.MULTILINE)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader would stand: a checkpoint, and the example of the rules."""
    here = tmp_path_factory.mktemp("docs")
    torch.save(resnet18().state_dict(), here / "ckpt.pth")
    (example,) = re.findall(r"```toml\n(.*?)```", TEXTS["rules.md"], re.DOTALL)
    (here / "my_rules.toml").write_text(example, encoding="utf-8")
    return here


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert cli.main(shlex.split(command)[1:]) == 0


def test_every_family_is_listed() -> None:
    _, table = TEXTS["checkpoints.md"].split("## Families")
    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert listed == [family.name for family in FAMILIES]
    assert all(family.description in TEXTS["checkpoints.md"] for family in FAMILIES)
