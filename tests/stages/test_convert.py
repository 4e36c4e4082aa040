from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from transfer.checkpoints.reading import checkpoint as reading
from transfer.files.fingerprint import file_sha256
from transfer.stages.convert import convert


def test_a_checkpoint_is_read_and_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ckpt.pth"
    torch.save(resnet18().state_dict(), path)
    hashed: list[Path] = []
    read: list[Path] = []

    def counted(file: Path) -> str:
        hashed.append(file)
        return file_sha256(file)

    original = reading.read_file
    monkeypatch.setattr(reading, "file_sha256", counted)
    monkeypatch.setattr(reading, "read_file", lambda file: read.append(file) or original(file))
    origin = convert(str(path), tmp_path)
    assert hashed == read == [path] and origin.sha256 == file_sha256(path)
