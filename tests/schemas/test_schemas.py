from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer import errors
from transfer.errors import BadOption, TransferError, UnknownName
from transfer.files.atomic import replacing, write_json
from transfer.files.fingerprint import fingerprint
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec, Certificate, InputContract
from transfer.schemas.run import RunSpec
from transfer.schemas.suite import load_suite

CONTRACT = InputContract(IMAGENET_MEAN, IMAGENET_STD, size=(224, 224), patch=16)
BACKBONE = BackboneSpec("vit", "vit_tiny_patch16_224", {"depth": 12, "image": [224, 224]})


def run(**changes: Any) -> RunSpec:
    fields = dict(
        checkpoint="ckpt", weights="0" * 64, backbone=BACKBONE.to_json(), input=CONTRACT.to_json(), suite="mini",
        task="pose", head="pose_heatmap", dataset="mini", size="mini", arguments={}, seed=0,
        overrides={}, work="w", protocol="p",
    )  # fmt: skip
    return RunSpec(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_errors_are_one_tree_drawn_in_full() -> None:
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    classes = [error for error in found if error.__module__ == errors.__name__]
    assert all(issubclass(error, TransferError) for error in classes)
    assert all(error.__name__ in (errors.__doc__ or "") for error in classes)


def test_unknown_names_suggest_the_nearest() -> None:
    message = str(UnknownName.among("suite", "coko", ["mini", "coco"]))
    assert message == "there is no suite 'coko'. Did you mean coco? Available: coco, mini."


def test_a_certificate_survives_json() -> None:
    certificate = Certificate(
        "dino", "vit_tiny_patch16_224", "teacher", 1.0, CONTRACT, {"head": "why"}, {}, {}, ("w",), BACKBONE, "f", "0"
    )
    again = Certificate.from_json(json.loads(json.dumps(certificate.to_json())))
    assert again == certificate
    assert again["input"]["mean"] == again.input.mean == IMAGENET_MEAN
    assert set(certificate) >= {"family", "arch", "which", "coverage", "input", "dropped", "initialised", "resized"}
    with pytest.raises(KeyError):
        certificate["items"]


def test_a_run_survives_json() -> None:
    again = RunSpec.from_json(json.loads(json.dumps(run().to_json())))
    assert again.fingerprint == run().fingerprint and again.id == run().id


@pytest.mark.parametrize(
    "change",
    [{"weights": "1" * 64}, {"overrides": {"iterations": 3}}, {"seed": 1}, {"suite": "coco"}, {"task": "detection"}],
)
def test_other_work_has_another_name(change: dict[str, Any]) -> None:
    assert run(**change).id != run().id
    assert run(**change).fingerprint != run().fingerprint


@pytest.mark.parametrize("change", [{"work": "v"}, {"head": "another"}, {"arguments": {"rate": 1.0}}])
def test_a_changed_declaration_keeps_the_name_and_changes_the_fingerprint(change: dict[str, Any]) -> None:
    assert run(**change).id == run().id
    assert run(**change).fingerprint != run().fingerprint


@given(
    st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.floats(allow_nan=False, allow_infinity=False)))
)
def test_a_fingerprint_ignores_the_order_of_keys(value: dict[str, Any]) -> None:
    assert fingerprint(value) == fingerprint(dict(reversed(value.items())))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"kept": True})
    with pytest.raises(RuntimeError), replacing(tmp_path / "file.json") as temporary:
        temporary.write_text("{", encoding="utf-8")
        raise RuntimeError
    assert json.loads((tmp_path / "file.json").read_text(encoding="utf-8")) == {"kept": True}
    assert os.listdir(tmp_path) == ["file.json"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("title = ", "not valid TOML"),
        ("title = 'x'\ndescription = ''\nseeds = [0]", "tasks"),
        ("title = 'x'\ndescription = ''\nseeds = []\ntasks = []", "at least one"),
        (
            "title='x'\ndescription=''\nseeds=[0]\n[[tasks]]\nname='a'\ntitle='A'\nhead='h'\ndataset='d'\nsize='full'\nscores=['AP']",
            "metric",
        ),
    ],
)
def test_a_broken_suite_file_is_named(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadOption, match=problem):
        load_suite(path)


def test_the_former_spelling_of_a_metric_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    task = "title='x'\ndescription=''\nseeds=[0]\n[[tasks]]\nname='a'\ntitle='A'\nrecipe='r'\nscores=['AP']\n"
    found = []
    for key in ("kind", "metric"):
        path.write_text(f"{task}{key}='bbox'", encoding="utf-8")
        found.append(load_suite(path))
    assert found[0] == found[1] and found[0].tasks[0].metric == "bbox"


def test_a_full_disk_is_recognised_behind_any_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=0)
    monkeypatch.setattr("transfer.files.atomic.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match="No space left") as caught, replacing(tmp_path / "model.pth"):
        raise RuntimeError("[enforce fail at inline_container.cc] unexpected pos")
    assert caught.value.errno == errno.ENOSPC and not list(tmp_path.iterdir())
    usage.free = 2**40
    with pytest.raises(RuntimeError, match="unexpected pos"), replacing(tmp_path / "model.pth"):
        raise RuntimeError("[enforce fail at inline_container.cc] unexpected pos")
