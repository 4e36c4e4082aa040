from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.errors import BadOption
from transfer.openmmlab import data
from transfer.openmmlab.data import PositionedDataset, StepSampler, per_process

T = TypeVar("T")


def positions(rank: int, processes: int, images_per_step: int, steps: int, skip_steps: int = 0) -> list[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "get_dist_info", lambda: (rank, processes))
        sampler = StepSampler(range(steps * images_per_step), images_per_step)  # type: ignore[arg-type]
    sampler.skip(skip_steps * sampler.per_process)
    drawn = list(sampler)
    assert len(drawn) == len(sampler)
    return drawn


def by_step(drawn: Sequence[T], per_step: int) -> list[list[T]]:
    return [list(drawn[start : start + per_step]) for start in range(0, len(drawn), per_step)]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6))
def test_processes_share_every_step_of_one_process(processes: int, each: int, steps: int) -> None:
    images = processes * each
    alone = by_step(positions(0, 1, images, steps), images)
    shares = [by_step(positions(rank, processes, images, steps), each) for rank in range(processes)]
    together = [[position for share in shares for position in share[step]] for step in range(steps)]
    assert together == alone


@given(st.integers(1, 3), st.integers(0, 5))
def test_resume_draws_the_rest(processes: int, done: int) -> None:
    images, steps = 2 * processes, 6
    whole = positions(0, processes, images, steps)
    assert positions(0, processes, images, steps, done) == whole[done * 2 :]


def test_images_per_step_must_divide() -> None:
    assert per_process(16, 8) == 2
    with pytest.raises(BadOption, match="16 over all processes and does not divide by 3"):
        per_process(16, 3)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """mmdet's data set of 30 tiny images with a box each, a third of them upright."""
    folder = tmp_path_factory.mktemp("photographs")
    images, boxes = [], []
    for number in range(30):
        width, height = ((16, 12), (12, 12), (12, 16))[number % 3]
        name = f"{number:02d}.png"
        cv2.imwrite(str(folder / name), np.zeros((height, width, 3), np.uint8))
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        boxes.append({"id": number + 1, "image_id": number, "category_id": 1, "bbox": [1, 1, 8, 8], "area": 64})
    truth = {"images": images, "annotations": [{**box, "iscrowd": 0} for box in boxes]}
    (folder / "truth.json").write_text(json.dumps({**truth, "categories": [{"id": 1, "name": "cell"}]}))
    return {
        "type": "mmdet.CocoDataset",
        "data_prefix": {"img": str(folder)},
        "ann_file": str(folder / "truth.json"),
        "metainfo": {"classes": ["cell"]},
        "pipeline": [
            {"type": "mmdet.LoadImageFromFile"},
            {"type": "mmdet.LoadAnnotations", "with_bbox": True},
            {"type": "mmdet.PackDetInputs"},
        ],
    }


def mixed_steps(dataset: PositionedDataset, drawn: Sequence[int], per_step: int) -> int:
    upright = [height > width for height, width in (dataset[place]["inputs"].shape[-2:] for place in drawn)]
    return sum(len(set(step)) == 2 for step in by_step(upright, per_step))


def names(dataset: PositionedDataset, drawn: Sequence[int]) -> list[str]:
    return [Path(dataset[position]["data_samples"].img_path).name for position in drawn]


def test_whole_steps_hold_images_of_one_orientation(photographs: dict[str, Any]) -> None:
    steps, images = 10, 6  # two epochs
    aligned = PositionedDataset(photographs, 0, steps * images, one_orientation=images)
    drawn = positions(0, 1, images, steps)
    assert mixed_steps(aligned, drawn, images) == 2  # 20 and 10 images: one in an epoch
    first, second = names(aligned, drawn[:30]), names(aligned, drawn[30:])
    assert sorted(first) == sorted(second) == [f"{number:02d}.png" for number in range(30)]
    other = PositionedDataset(photographs, 0, steps * images)
    assert mixed_steps(other, drawn, images) > 5


def test_two_processes_and_a_resumed_run_see_the_same_images(photographs: dict[str, Any]) -> None:
    steps, images = 11, 8  # steps that two epochs share
    whole = names(
        PositionedDataset(photographs, 3, steps * images, one_orientation=images), positions(0, 1, images, steps)
    )
    for done in (0, 4):  # each process and each launch opens the data set anew
        shares = [
            by_step(
                names(
                    PositionedDataset(photographs, 3, steps * images, one_orientation=images),
                    positions(rank, 2, images, steps, done),
                ),
                images // 2,
            )
            for rank in range(2)
        ]
        together = [name for step in zip(*shares, strict=True) for share in step for name in share]
        assert together == whole[done * images :]
