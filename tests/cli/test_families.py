from __future__ import annotations

from pathlib import Path

import pytest

from transfer import cli
from transfer.checkpoints.families import FAMILIES
from transfer.cli import families


def test_families_are_listed_as_they_are_declared() -> None:
    expected = [(family.name, family.aliases, family.description) for family in FAMILIES]
    assert list(families.declared()) == expected


def test_aliases_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["families"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(FAMILIES)
    assert lines[0].startswith("torchvision (also tv): ")


def test_a_module_without_a_declaration_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("OTHER = 1", encoding="utf-8")
    with pytest.raises(LookupError, match=r"odd\.py assigns nothing to FAMILY"):
        families._assigned(tmp_path / "odd.py", "FAMILY")
