from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

SMALL = ("--iterations", "3", "--images-per-step", "2")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A torchvision-layout ResNet-18 file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoints") / "plain_resnet18.pth"
    torch.save(resnet18().state_dict(), path)
    return path


def transfer(*arguments: str | Path, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "transfer", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
