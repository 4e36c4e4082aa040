from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from transfer.files.packages import DISTRIBUTIONS
from transfer.workflows import doctor
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
    needed = [name for name in DISTRIBUTIONS if name != "mmpose"]
    assert not any(findings[name].ok for name in needed)
    assert all("make setup" in findings[name].text for name in needed)
    assert not findings["pose"].ok and not findings["pose"].needed and "transfer setup pose" in findings["pose"].text


def test_an_installed_package_is_installed_again_by_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "PACKAGE", tmp_path / "transfer")
    monkeypatch.setattr(doctor, "version", lambda name: None)
    (torch, *_) = examine()
    assert "install this package again with pip" in torch.text


class Broken:
    """Fails the import of one package with an error."""

    def __init__(self, name: str, error: Exception) -> None:
        self.name, self.error = name, error

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Raise for the package, leave others to others."""
        if name == self.name:
            raise self.error


def test_opencv_with_windows_on_a_machine_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip installs opencv-python over the headless one: OpenMMLab and imaug ask for it."""
    error = ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
    monkeypatch.delitem(sys.modules, "cv2")
    monkeypatch.setattr(sys, "meta_path", [Broken("cv2", error), *sys.meta_path])
    (opencv,) = [finding for finding in examine() if finding.subject == "opencv"]
    version = metadata.version("opencv-python-headless")
    assert f"pip install --force-reinstall --no-deps opencv-python-headless=={version}`" in opencv.text


@pytest.mark.parametrize("error", ["OSError('libcudart')", "ValueError('dtype size')", "AttributeError('_C')"])
def test_a_torch_that_cannot_be_imported(error: str) -> None:
    code = (
        "import sys\n"
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'torch': raise {error}\n"
        "sys.meta_path.insert(0, Broken())\n"
        "from transfer.cli import main\nsys.exit(main(['doctor']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "missing  operators: " in done.stdout and "GPU: unknown without torch" in done.stdout


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
