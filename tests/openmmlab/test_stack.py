from __future__ import annotations

from pathlib import Path

import pytest
from mmpose.datasets import CocoDataset

from transfer.openmmlab.stack import import_stack


def test_joints_do_not_come_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "configs" / "_base_" / "datasets" / "coco.py"
    program.parent.mkdir(parents=True)
    program.write_text("open('canary', 'w')\n", encoding="utf-8")
    import_stack()
    import_stack()
    assert CocoDataset._load_metainfo(None)["num_keypoints"] == 17
    assert not (tmp_path / "canary").exists()
