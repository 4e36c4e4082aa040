"""A user's own suite and head: from files that lie anywhere to a row of a board; no model is trained."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.workflows.test_records import finish
from transfer.board.markdown import build_board
from transfer.errors import BadOption, UnknownName
from transfer.files.places import shipped_suites
from transfer.schemas.suite import load_suite
from transfer.stages.job import Job
from transfer.workflows.evaluate import Request, evaluate, prepare
from transfer.workflows.plan import Deviations

SUITE = """
title = "My own table"
description = "Toys under a slower head."
seeds = [0]

[[tasks]]
name = "boxes"
title = "Slow Faster R-CNN"
head = "faster_rcnn_fpn"
dataset = "mini"
size = "mini"
kind = "bbox"
scores = ["AP"]
arguments = { rate = 0.01, image_scale = [96, 96] }
"""
HEAD = """
_base_ = './base.py'
default_scope = 'mmdet'
images_per_step = 4
train_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(96, 96), keep_ratio=True), dict(type='PackDetInputs')]
test_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='Resize', scale=(96, 96), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.001))
"""
BASE = """
model = dict(
    type='FCOS', backbone=dict(type='ResNet', depth=50),
    neck=dict(type='FPN', in_channels=[1], out_channels=32, start_level=1, add_extra_convs='on_output', num_outs=5,
              relu_before_extra_convs=True),
    bbox_head=dict(type='FCOSHead', num_classes=80, in_channels=32, feat_channels=32, stacked_convs=1,
                   norm_cfg=dict(type='GN', num_groups=4),
                   strides=[8, 16, 32, 64, 128],
                   loss_cls=dict(type='FocalLoss', use_sigmoid=True), loss_bbox=dict(type='IoULoss'),
                   loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True)),
    test_cfg=dict(nms_pre=100, min_bbox_size=0, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5),
                  max_per_img=10))
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "toys.toml"
    path.write_text(SUITE, encoding="utf-8")
    return path


@pytest.fixture
def head(tmp_path: Path) -> Path:
    (tmp_path / "base.py").write_text(BASE, encoding="utf-8")
    (tmp_path / "fcos.py").write_text(HEAD, encoding="utf-8")
    return tmp_path / "fcos.py"


def request(suite: Path | str, work_dir: Path, board: Path, head: Path | None = None, **deviations: object) -> Request:
    asked = Deviations(head=head, **deviations)  # type: ignore[arg-type]
    return Request("random:resnet18", str(suite), asked, work_dir=work_dir, board=board)


def test_a_suite_beside_the_package_ends_in_a_row_of_its_own_table(
    suite: Path, furnished: Path, tmp_path: Path
) -> None:
    board = tmp_path / "board"
    (job,) = prepare(request(suite, furnished, board))
    finish(job)
    (record,) = evaluate(request(suite, furnished, board))
    assert (record.run.suite, record.run.head, record.run.arguments["rate"]) == ("toys", "faster_rcnn_fpn", 0.01)
    text = (board / "README.md").read_text(encoding="utf-8")
    assert "## My own table" in text and "Slow Faster R-CNN AP" in text and "Records in no table" not in text
    assert "head `faster_rcnn_fpn` on `mini` (size `mini`, `image_scale=[96, 96]`, `rate=0.01`)" in text
    suite.unlink()
    moved = shutil.copytree(board, tmp_path / "elsewhere")
    (moved / "README.md").unlink()
    shipped = [load_suite(path) for path in shipped_suites().values()]
    assert build_board(moved, shipped).read_text(encoding="utf-8") == text


def test_its_pictures_need_the_run_folder_alone(suite: Path, furnished: Path, tmp_path: Path) -> None:
    (job,) = prepare(request(suite, furnished, tmp_path / "board"))
    assert json.loads((job.folder / "run.json").read_text(encoding="utf-8"))["task"]["title"] == "Slow Faster R-CNN"


def test_a_suites_file_runs_no_code(suite: Path, furnished: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.py"
    hostile.write_text("raise SystemExit('ran')", encoding="utf-8")
    for name in (str(hostile), "hostile.py", "../hostile", "hostile"):
        suite.write_text(SUITE.replace('"faster_rcnn_fpn"', json.dumps(name)), encoding="utf-8")
        with pytest.raises(UnknownName, match="there is no head"):
            prepare(request(suite, furnished, tmp_path / "board"))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("rate = 0.01", "rates = 0.01", "argument of head faster_rcnn_fpn 'rates'. Did you mean rate"),
        ("rate = 0.01", "rate = 'high'", "rate of head faster_rcnn_fpn is 'high', a str; expected a float"),
        ("[96, 96]", "96", "expected a tuple such as"),
        ('size = "mini"', 'size = "tiny"', "size of head faster_rcnn_fpn 'tiny'. Did you mean mini"),
        ('title = "Slow', 'titel = "Slow', "key of a suite's task 'titel'. Did you mean title"),
    ],
)
def test_what_a_suite_misspells_is_named(
    suite: Path, furnished: Path, tmp_path: Path, old: str, new: str, problem: str
) -> None:
    suite.write_text(SUITE.replace(old, new), encoding="utf-8")
    with pytest.raises((BadOption, UnknownName), match=problem):
        prepare(request(suite, furnished, tmp_path / "board"))


def test_a_head_of_ones_own_is_another_protocol_of_the_tasks_of_its_type(
    head: Path, furnished: Path, tmp_path: Path
) -> None:
    def jobs(head: Path | None) -> list[Job]:
        return prepare(request("mini", furnished, tmp_path / "board", head, tasks=("detection", "pose")))

    (standard, pose), (mine, same) = jobs(None), jobs(head)
    assert mine.run.head.startswith("fcos-") and (mine.run.size, mine.run.overrides) == ("", {"head": mine.run.head})
    assert mine.run.protocol != standard.run.protocol and mine.run.dataset == "mini"
    assert (same.run.head, same.run.protocol) == (pose.run.head, pose.run.protocol)
    (head.parent / "base.py").write_text(BASE.replace("stacked_convs=1", "stacked_convs=2"), encoding="utf-8")
    again, _ = jobs(head)
    assert again.run.protocol != mine.run.protocol and again.run.head != mine.run.head
    with pytest.raises(BadOption, match="is for detection, and the tasks asked for are for pose"):
        prepare(request("mini", furnished, tmp_path / "board", head, tasks=("pose",)))


@pytest.mark.parametrize("change", [("num_groups=4", "num_groups=5"), ("FCOSHead", "FCOSHaed")])
def test_a_head_that_cannot_be_built_is_found_before_training(
    head: Path, furnished: Path, tmp_path: Path, change: tuple[str, str]
) -> None:
    (head.parent / "base.py").write_text(BASE.replace(*change), encoding="utf-8")
    with pytest.raises(BadOption, match=r"head fcos-\w+ cannot be built: .*(FCOSHaed|divisible)"):
        prepare(request("mini", furnished, tmp_path / "board", head, tasks=("detection",)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:torch.meshgrid")  # mmdet's points
@pytest.mark.parametrize("arch", ["resnet18", "vit_tiny_patch16_224"])
def test_a_head_of_ones_own_trains_to_a_row(head: Path, furnished: Path, tmp_path: Path, arch: str) -> None:
    asked = replace(
        request("mini", furnished, tmp_path / "board", head, tasks=("detection",)), checkpoint=f"random:{arch}"
    )
    (record,) = evaluate(asked)
    assert "AP" in record.scores
    text = (tmp_path / "board" / "README.md").read_text(encoding="utf-8")
    assert f'### Not the standard protocol: `head="{record.run.head}"`' in text
