from __future__ import annotations

import torch

from transfer.openmmlab import preprocessing
from transfer.openmmlab.preprocessing import pad_to


def test_padding_is_at_the_bottom_and_right() -> None:
    padded = pad_to(torch.ones(2, 3, 4, 5), (6, 8), 0.0)
    assert padded.shape == (2, 3, 6, 8)
    assert padded[..., :4, :5].eq(1).all() and padded.sum() == 2 * 3 * 4 * 5


def test_the_largest_image_of_any_process_decides(monkeypatch) -> None:
    def other_process(size: torch.Tensor, operation: object) -> None:
        size.copy_(torch.maximum(size, torch.tensor([64, 32])))

    monkeypatch.setattr(preprocessing.dist, "all_reduce", other_process)
    assert preprocessing.largest_over_processes(torch.zeros(1, 3, 32, 96)) == (64, 96)
