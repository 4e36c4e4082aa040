from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from transfer.files.packages import DISTRIBUTIONS
from transfer.workflows.doctor import examine


def test_this_machine_is_ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path))
    findings = {finding.subject: finding for finding in examine()}
    assert all(finding.ok for finding in findings.values() if finding.needed), findings
    assert findings["torch"].text == metadata.version("torch")
    assert "RoI align run" in findings["operators"].text
    assert not findings["data coco (boxes)"].ok and "\n" not in findings["data coco (boxes)"].text


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    findings = {finding.subject: finding for finding in examine()}
    assert not any(findings[name].ok for name in DISTRIBUTIONS)
    assert all("make setup" in findings[name].text for name in DISTRIBUTIONS)


def test_without_torch_it_reports_instead_of_failing() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'numpy', 'pycocotools', 'mmengine', 'mmcv'): sys.modules[name] = None\n"
        "from transfer.cli import main\nsys.exit(main(['doctor']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "missing  operators: import of" in done.stdout
    assert "GPU: unknown without torch" in done.stdout
