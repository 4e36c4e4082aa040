"""What pose tasks need is told once, and the lock has it."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from transfer.files.packages import POSE, lacking

ROOT = Path(__file__).resolve().parents[2]


def test_the_group_and_the_lock_have_what_the_dependencies_lack() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert tuple(project["dependency-groups"]["pose"]) == POSE
    names = [requirement.partition("==")[0] for requirement in POSE]
    asked = [re.split(r"[^\w-]", line)[0] for line in project["project"]["dependencies"]]
    assert not set(names) & set(asked)
    assert all(any(line.startswith(requirement) for line in locked) for requirement in POSE)


@pytest.mark.parametrize(
    ("installed", "missing"),
    [
        ({"one": "1.2", "two": "0.1"}, []),
        ({"one": "1.3", "two": "0.1"}, ["one==1.2"]),
        ({"one": "1.2"}, ["two"]),
        ({}, ["one==1.2", "two"]),
    ],
)
def test_what_is_lacking(installed: dict[str, str], missing: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, "version", version)
    assert lacking(("one==1.2", "two")) == missing
