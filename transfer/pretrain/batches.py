"""Labelled batches that are a function of the seed and the step: resuming needs no stored position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transfer.pretrain.contours import ContourClass, render

MEAN = (0.5, 0.5, 0.5)
STD = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Batches:
    """Labelled batches: number `step` holds `size` fresh images of random classes, `image_size` pixels square."""

    classes: Sequence[ContourClass]
    seed: int
    size: int
    image_size: int

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Return (B, 3, H, W) float32 normalised by MEAN and STD, and (B,) int64 labels."""
        rng = np.random.default_rng((self.seed, 1, step))
        labels = rng.integers(0, len(self.classes), self.size)
        images = np.stack([render(self.classes[label], rng, self.image_size) for label in labels])
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float() / 255
        return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1), torch.from_numpy(labels)

    def between(self, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches `start` to `stop` - 1; the next is drawn while the caller trains on this one."""
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(self.draw, start)
            for step in range(start, stop):
                current = following
                if step + 1 < stop:
                    following = pool.submit(self.draw, step + 1)
                yield current.result()
