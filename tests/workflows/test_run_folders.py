"""A run's folder is data: nothing in it runs, and it does not matter where one stands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfer import cli
from transfer.files.places import configs
from transfer.openmmlab.resolved import load_config, read_config
from transfer.openmmlab.runner import predict

TINY = ("--iterations", "1", "--images-per-step", "2")
DONE = ("predictions", "predict.json", "scores.json", "record.json")


def evaluate(work_dir: Path, *options: str) -> int:
    places = ("--work-dir", str(work_dir), "--board", str(work_dir / "board"))
    return cli.main(["eval", "random:resnet18", "mini", "--tasks", "segmentation", *TINY, *places, *options])


def run_in(work_dir: Path) -> Path:
    (model,) = work_dir.glob("*/model.pth")
    return model.parent


def unfinish(run: Path) -> None:
    """As if the launch had been stopped after training."""
    shutil.rmtree(run / "predictions")
    for name in DONE[1:]:
        (run / name).unlink()


def damage(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((run / "config.json").read_text(encoding="utf-8"))
    change(document["config"])
    (run / "config.json").write_text(json.dumps(document), encoding="utf-8")


@pytest.fixture(scope="module")
def finished(furnish: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory with one finished run, made by a relative path."""
    folder = furnish(tmp_path_factory.mktemp("folders") / "work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        assert evaluate(Path("work")) == 0
    return folder


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Path:
    """A copy of it: a work directory that has moved."""
    return Path(shutil.copytree(finished, tmp_path / "moved"))


def test_a_run_goes_on_wherever_one_stands(
    work: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, elsewhere = run_in(work), tmp_path / "elsewhere"
    whole = json.loads((run / "scores.json").read_text(encoding="utf-8"))["scores"]
    identity = (run / "run.json").read_bytes()
    unfinish(run)
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert evaluate(Path("../moved")) == 0
    assert json.loads((run / "scores.json").read_text(encoding="utf-8"))["scores"] == whole
    assert (run / "run.json").read_bytes() == identity
    text = (run / "config.json").read_text(encoding="utf-8")
    assert str(work / "data") in text and str(finished) not in text
    monkeypatch.chdir("/")
    assert cli.main(["show", str(run), "--images", "1"]) == 0


def test_what_a_run_folder_names_is_not_built(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, canary = run_in(work), work / "canary"
    evil = {"type": "subprocess.Popen", "args": ["touch", str(canary)]}
    damage(run, lambda config: config.update(model=evil))
    unfinish(run)
    assert evaluate(work) == 1
    message = capsys.readouterr().err
    assert "UnsafeConfig" in message and "'subprocess.Popen'" in message and str(run / "config.json") in message
    assert not canary.exists()


def test_without_the_check_it_would_have_run(work: Path) -> None:
    """What the canaries of the other tests are worth."""
    run, canary = run_in(work), work / "canary"
    damage(run, lambda config: config.update(model={"type": "subprocess.call", "args": ["touch", str(canary)]}))
    with pytest.raises(AttributeError, match="'int' object"):
        predict(read_config(run / "config.json"), run, run / "output")
    assert canary.exists()


def test_show_runs_nothing(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, canary = run_in(work), work / "canary"
    damage(run, lambda config: config["test_dataloader"].update(collate_fn={"type": "subprocess.Popen"}))
    assert cli.main(["show", str(run)]) == 1
    assert "subprocess.Popen" in capsys.readouterr().err
    (run / "config.json").rename(run / "config.py")
    (run / "config.py").write_text(f"open({str(canary)!r}, 'w')\n", encoding="utf-8")
    assert cli.main(["show", str(run)]) == 1
    assert "config of an earlier version" in capsys.readouterr().err
    assert not canary.exists() and not list(run.glob("*.png"))


def test_an_earlier_version_s_run_goes_on_as_the_message_says(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, canary = run_in(work), work / "canary"
    unfinish(run)
    (run / "config.json").rename(run / "config.py")
    (run / "config.py").write_text(f"open({str(canary)!r}, 'w')\n", encoding="utf-8")
    assert evaluate(work) == 1
    assert "Remove that file" in capsys.readouterr().err
    (run / "config.py").unlink()
    assert evaluate(work) == 0
    assert not canary.exists()


def test_a_damaged_config_is_named_and_written_anew(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run_in(work) / "config.json"
    path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8")
    assert evaluate(work) == 1
    message = capsys.readouterr().err
    assert f"{path} is damaged" in message and "Remove it" in message
    path.unlink()
    assert evaluate(work) == 0


def test_what_a_user_sets_is_checked_before_anything_is_written(
    furnished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = furnished / "canary"
    evil = {"type": "subprocess.Popen", "args": ["touch", str(canary)]}
    assert evaluate(furnished, "--set", f"model.decode_head.loss_decode={evil}") == 1
    message = capsys.readouterr().err
    assert "model.decode_head.loss_decode.type is 'subprocess.Popen'" in message and "--set" in message
    assert not canary.exists() and not list(furnished.glob("random-*"))


def test_a_category_s_name_is_data(
    furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = tmp_path / "canary"
    name = "{{$NOPE:\\'+str(open(\"" + str(canary) + '","w")),#|B}}'
    declared = ['layout = "coco"', 'homes = ["evil"]']
    for part, split in (("train", "train2017"), ("test", "val2017")):
        (tmp_path / "root" / "evil" / split).parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(furnished / "data" / "mini" / split, tmp_path / "root" / "evil" / split)
        truth = json.loads((furnished / f"data/mini/annotations/instances_{split}.json").read_text(encoding="utf-8"))
        truth["categories"][1]["name"] = name
        (tmp_path / "root" / "evil" / f"{split}.json").write_text(json.dumps(truth), encoding="utf-8")
        declared += [f"[{part}]", f'images = "{split}"', f'annotations = {{ bbox = "{split}.json" }}']
    (tmp_path / "root" / "evil.toml").write_text("\n".join(declared), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFER_DATA", "root")
    places = ("--work-dir", str(furnished), "--board", str(tmp_path / "board"))
    suite = (
        (configs() / "suites" / "mini.toml").read_text(encoding="utf-8").replace('dataset = "mini"', 'dataset = "evil"')
    )
    (tmp_path / "root" / "toys.toml").write_text(suite, encoding="utf-8")
    few = ("--set", "model.test_cfg.rcnn.max_per_img=4")
    few += ("--set", "model.test_cfg.rpn.max_per_img=4")
    assert cli.main(["eval", "random:resnet18", "toys", "--tasks", "detection", *TINY, *few, *places]) == 0
    config = load_config(run_in(furnished) / "config.json")
    dataset = config.test_dataloader.dataset.dataset
    assert dataset.metainfo.classes[1] == name and not canary.exists()
    assert dataset.ann_file == str(tmp_path / "root" / "evil" / "val2017.json")
