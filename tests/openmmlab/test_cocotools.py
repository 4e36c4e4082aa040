from __future__ import annotations

import copy
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval as PycocoEval
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

import transfer
from transfer.errors import UnknownName
from transfer.openmmlab import cocotools

CROWDPOSE = np.array([79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89, 79, 79]) / 1000
SIGMAS = np.array([0.05, 0.1, 0.2])
NEAR = {"x": 100.0, "y": 100.0, "width": 80.0, "height": 50.0}


def person(number: int, shift: float = 0.0, **changes: Any) -> dict[str, Any]:
    """A box of 80x50 pixels with three joints, moved by `shift` pixels."""
    joints = [110.0 + shift, 110.0, 2, 140.0, 120.0 + shift, 1, 170.0, 130.0, 2]
    return {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "bbox": [100.0, 100.0, 80.0, 50.0],
        "area": 1500.0,
        "iscrowd": 0,
        "num_keypoints": 3,
        "keypoints": joints,
        **changes,
    }


def index(annotations: list[dict[str, Any]], images: int = 1) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number, "width": 300, "height": 300} for number in range(1, images + 1)],
        "annotations": copy.deepcopy(annotations),
        "categories": [{"id": 1, "name": "person"}],
    }
    coco.createIndex()
    return coco


def results(truth: COCO, people: list[dict[str, Any]]) -> COCO:
    return truth.loadRes([{**p, "score": p.get("score", 0.9)} for p in copy.deepcopy(people)])


def similarity(found: dict[str, Any], true: dict[str, Any], sigmas: np.ndarray, area: float) -> float:
    """Object keypoint similarity, cocodataset.org/#keypoints-eval: k = 2 sigma, scale squared = area."""
    a, b = (np.reshape(p["keypoints"], (-1, 3)) for p in (found, true))
    distance = ((a - b)[:, :2] ** 2).sum(1)
    return float(np.exp(-distance / (2 * area * (2 * sigmas) ** 2))[b[:, 2] > 0].mean())


@pytest.mark.parametrize("use_area", [True, False])
def test_sigmas_and_areas_reach_the_similarity(use_area: bool) -> None:
    true, found = person(1), person(1, shift=9.0)
    truth = index([true])
    evaluation = COCOeval(truth, results(truth, [found]), "keypoints", SIGMAS, use_area)
    evaluation.evaluate()
    area = 1500.0 if use_area else 80 * 50 * 0.53
    assert evaluation.ious[1, 1][0, 0] == pytest.approx(similarity(found, true, SIGMAS, area))


def test_without_areas_the_box_decides_who_is_large() -> None:
    small = person(1, area=10.0)
    truth = index([small])
    scores = {}
    for use_area in (True, False):
        evaluation = COCOeval(truth, results(truth, [small]), "keypoints", SIGMAS, use_area)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        scores[use_area] = [round(float(value), 6) for value in evaluation.stats[3:5]]
    assert scores == {True: [-1, -1], False: [1, -1]}  # 2,120 pixels are medium


def test_areas_need_not_be_annotated() -> None:
    bare = {key: value for key, value in person(1).items() if key not in ("area", "num_keypoints")}
    truth = index([bare])
    evaluation = COCOeval(truth, results(truth, [person(1)]), "keypoints", SIGMAS, use_area=False)
    evaluation.evaluate()
    assert evaluation.ious[1, 1][0, 0] == pytest.approx(1)
    assert "area" not in truth.anns[1]


def test_people_without_joints_do_not_count() -> None:
    hidden = person(2, keypoints=[0.0] * 9, num_keypoints=0)
    truth = index([person(1), hidden])
    evaluation = COCOeval(truth, results(truth, [person(1), person(2, keypoints=[0.0] * 9)]), "keypoints", SIGMAS)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)
    assert evaluation.stats[5] == pytest.approx(1)


def test_by_default_it_is_pycocotools(capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(0)
    people = [
        person(n, keypoints=np.column_stack([generator.uniform(100, 200, (17, 2)), np.full(17, 2)]).ravel().tolist())
        for n in range(1, 6)
    ]
    moved = [
        {**p, "score": s, "keypoints": [v + generator.normal(0, 4) * (i % 3 < 2) for i, v in enumerate(p["keypoints"])]}
        for p, s in zip(people, generator.permutation(5) / 5, strict=True)
    ]
    stats = []
    for kind in (COCOeval, PycocoEval):
        truth = index(people)
        evaluation = kind(truth, results(truth, moved), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        stats.append(list(evaluation.stats))
    assert stats[0] == stats[1]
    assert 0 < stats[0][0] < 1


def test_whole_body_parts_have_joints_and_scores_of_their_own() -> None:
    hand = [100.0, 100.0, 1, 120.0, 100.0, 1]
    parts = {"foot_kpts": hand, "face_kpts": hand, "lefthand_kpts": hand, "righthand_kpts": [0.0] * 6}
    true = person(1, **parts)
    truth = index([true])
    found = results(truth, [person(1, **{**parts, "face_kpts": [v + 5 for v in hand]}, foot_score=0.25)])
    for kind, joints in {"foot": 2, "face": 2, "lefthand": 2, "wholebody": 11, "body": 3}.items():
        sigmas = np.full(joints, 0.1)
        evaluation = COCOeval(truth, found, f"keypoints_{kind}", sigmas)
        evaluation.evaluate()
        shown = {**found.anns[1], "keypoints": cocotools._part(found.anns[1], f"keypoints_{kind}")["keypoints"]}
        wanted = {"keypoints": cocotools._part(true, f"keypoints_{kind}")["keypoints"]}
        assert len(wanted["keypoints"]) == 3 * joints
        assert evaluation.ious[1, 1][0, 0] == pytest.approx(similarity(shown, wanted, sigmas, 1500.0))
        assert evaluation.evalImgs[0]["dtScores"] == [0.25 if kind == "foot" else 0.9]
    nobody = COCOeval(truth, found, "keypoints_righthand", np.full(2, 0.1))
    nobody.evaluate()
    assert list(nobody.evalImgs[0]["gtIgnore"]) == [1] and nobody.evalImgs[0]["dtIds"] == []


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="Did you mean keypoints_crowd"):
        COCOeval(index([]), index([]), "keypoints_crowded")


def test_crowdpose_as_published(shared_data: Path) -> None:
    folder = shared_data / "coco_eval_fixtures" / "fce_crowdpose"
    truth = COCO(folder / "example_crowdpose_val.json")
    found = truth.loadRes(str(folder / "example_crowdpose_preds.json"))
    evaluation = COCOeval(truth, found, "keypoints_crowd", CROWDPOSE, use_area=False)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    expected = [0.787722, 0.988119, 0.731436, 0.822222, 1.0, 0.777778, 1.0, 0.9802, 0.4116]
    np.testing.assert_allclose(evaluation.stats, expected, atol=5e-5)


def test_crowding_levels_are_half_open() -> None:
    truth = index([person(n, image_id=n) for n in range(1, 5)], images=4)
    for image, crowding in zip(truth.imgs.values(), (0.1, 0.2, 0.79, 0.8), strict=True):
        image["crowdIndex"] = crowding
    found = results(truth, [person(1, image_id=1), person(2, image_id=2)])
    evaluation = COCOeval(truth, found, "keypoints_crowd", SIGMAS)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    easy, medium, hard = evaluation.stats[6:]
    assert (easy, hard) == (pytest.approx(1), 0)
    assert medium == pytest.approx(51 / 101)  # recall reaches one half: 51 of the 101 recall levels


def test_mmpose_and_the_import_system_find_it() -> None:
    from mmpose.datasets.datasets.base import base_coco_style_dataset
    from mmpose.evaluation.metrics import coco_metric

    assert base_coco_style_dataset.COCO is COCO
    assert coco_metric.COCOeval is cocotools.COCOeval
    assert importlib.util.find_spec("xtcocotools") is sys.modules["xtcocotools"].__spec__


def fresh(package: Path, code: str) -> str:
    root = Path(transfer.__file__).parents[1]
    code = f"import sys; sys.path[:0] = [{str(package)!r}, {str(root)!r}]; {code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("extension", "answer"),
    [("", "genuine"), ("raise ValueError('numpy.dtype size changed')", "transfer.openmmlab.cocotools")],
)
def test_the_genuine_one_wins_if_it_works(tmp_path: Path, extension: str, answer: str) -> None:
    package = tmp_path / "xtcocotools"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "_mask.py").write_text(extension)
    (package / "cocoeval.py").write_text("class COCOeval: __module__ = 'genuine'\n")
    code = "import transfer.openmmlab; from xtcocotools.cocoeval import COCOeval; print(COCOeval.__module__)"
    assert fresh(tmp_path, code) == answer
