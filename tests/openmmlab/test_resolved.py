from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from tests.openmmlab.conftest import composed_of
from transfer.errors import BadOption, BrokenConfig
from transfer.openmmlab.resolved import check_config, load_config, read_config, relocated, write_config

MINIMAL = "deeplab_aspp/mini"

HOSTILE = (
    "{{$NOPE:\\'+str(open('canary','w')),#|B}}",
    "{{ fileDirname }}",
    "{{$HOME:x}}",
    "{{_base_.x}}",
    "'); import os #",
    '\\"\n\x1b[0m‮',
    "subprocess.Popen",
    "http://example.org/names.txt",
    "\udc80 no UTF-8",
)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A config as the plan writes it."""
    path = tmp_path / "config.json"
    write_config(path, composed_of(MINIMAL, "resnet18"))
    return path


def assert_same(ours: Any, theirs: Any, where: str = "config") -> None:
    """Equal, with the same types and the same order of keys."""
    assert type(ours) is type(theirs), where
    if isinstance(ours, Mapping):
        assert list(ours) == list(theirs), where
        for key, value in ours.items():
            assert_same(value, theirs[key], f"{where}.{key}")
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), where
        for index, pair in enumerate(zip(ours, theirs, strict=True)):
            assert_same(*pair, f"{where}[{index}]")
    else:
        assert ours == theirs, where


def test_every_shipped_config_reads_back_as_it_was(composed: dict[str, Config], tmp_path: Path) -> None:
    assert len(composed) > 40
    for name, config in composed.items():
        write_config(tmp_path / "config.json", config)
        assert_same(config.to_dict(), load_config(tmp_path / "config.json").to_dict(), name)


def test_what_json_has_no_word_for_keeps_its_type(written: Path) -> None:
    config = read_config(written)
    config.odd = {"empty": (), "nested": [(1, (2.0, [None, True])), {"a": ()}], "small": 5e-324, "big": 2**70, "": -0.0}
    write_config(written, config)
    assert_same(config.to_dict(), read_config(written).to_dict())
    assert str(read_config(written).odd[""]) == "-0.0"


def test_names_of_classes_are_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = composed_of("faster_rcnn_fpn/mini", "resnet18", HOSTILE)
    check_config(config, "here")
    write_config(tmp_path / "config.json", config)
    assert load_config(tmp_path / "config.json").test_dataloader.dataset.dataset.metainfo.classes == list(HOSTILE)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), {1, 2}, b"x", Path("/x"), int, {1: 2}, {"()": [1]}, {None: 1}]
)
def test_what_json_cannot_say_is_not_written(value: Any, tmp_path: Path) -> None:
    config = composed_of(MINIMAL, "resnet18")
    config.model["train_cfg"] = {"odd": [value]}
    with pytest.raises(BadOption, match=r"config\.model\.train_cfg\.odd\[0\]"):
        write_config(tmp_path / "config.json", config)
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_named(written: Path) -> None:
    whole = written.read_bytes()
    document = json.loads(whole)
    damaged = [whole[: len(whole) // 2], b"", b"\xff\xfe", b"null", b"[]", b"{}", b"[" * 100_000, b"import os"]
    damaged += [
        whole.replace(b'"seed": 0', text) for text in (b'"seed": NaN', b'"seed": 1e999', b'"seed": 1, "seed": 0')
    ]
    changes: list[dict[str, Any]] = [{"schema": 2}, {"schema": True}, {"more": 1}, {"config": []}, {"config": {}}]
    damaged += [json.dumps(document | change).encode() for change in changes]
    for odd in ({"()": 1}, {"()": [], "x": 1}):
        damaged.append(json.dumps(document | {"config": document["config"] | {"task": odd}}).encode())
    damaged.append(json.dumps(document | {"config": document["config"] | {"filename": "x"}}).encode())
    for content in damaged:
        assert content != whole
        written.write_bytes(content)
        with pytest.raises(BrokenConfig, match="is damaged") as caught:
            read_config(written)
        assert str(written) in str(caught.value) and "transfer eval" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "config.json", tmp_path):
        with pytest.raises(BrokenConfig, match="there is no"):
            read_config(path)


def test_a_program_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "config.py").write_text(f"open({str(canary)!r}, 'w')\n", encoding="utf-8")
    with pytest.raises(BrokenConfig, match=r"config\.py is the config of an earlier version.*Remove that file"):
        load_config(tmp_path / "config.json")
    assert not canary.exists()


def test_a_kept_config_follows_its_files() -> None:
    kept, present = composed_of(MINIMAL, "resnet18"), composed_of(MINIMAL, "resnet18")
    kept.optim_wrapper.optimizer.lr = 7.0
    present.model.backbone.weights = "/elsewhere/weights"
    present.test_dataloader.dataset.dataset.data_prefix.img_path = "/elsewhere/images"
    found = relocated(kept, present)
    assert found.model.backbone.weights == "/elsewhere/weights"
    assert found.test_dataloader.dataset.dataset.data_prefix.img_path == "/elsewhere/images"
    assert found.optim_wrapper.optimizer.lr == 7.0
    found.model.backbone.weights = kept.model.backbone.weights
    found.test_dataloader.dataset.dataset.data_prefix = kept.test_dataloader.dataset.dataset.data_prefix
    assert_same(found.to_dict(), kept.to_dict())
