"""Training data whose order and augmentation depend on the sample's position alone.

Position `p` is the number of the sample since the start of training: step `p // images_per_step`, place
`p % images_per_step` in the global batch. Which image stands there (`transfer.openmmlab.order`) and how it is augmented
is a function of (seed, position), so one process equals several, and a resumed run equals an uninterrupted one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import Dataset, Sampler

from transfer.errors import BadOption, MissingData
from transfer.openmmlab.order import Order, orientations, shuffled, shuffled_by_orientation
from transfer.openmmlab.stack import quiet


@DATASETS.register_module()
class WrappedDataset(Dataset):
    """An OpenMMLab data set, read and filtered, inside a class of this package.

    A spawned worker unpickles the wrapper first, which installs the operator bridge before mmdet is imported.
    Raises MissingData when the filters leave nothing.
    """

    def __init__(self, dataset: dict[str, Any]) -> None:
        self.dataset = _read(dataset)

    @property
    def metainfo(self) -> dict[str, Any]:
        """The wrapped data set's."""
        return self.dataset.metainfo

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.dataset[index]


@DATASETS.register_module()
class PositionedDataset(WrappedDataset):
    """Training samples indexed by position; `len` is the number of samples that training will draw.

    With `one_orientation`, the number of images per step, whole steps hold upright images or others, but not both:
    images that are padded to the largest of their step then grow little. The annotations must say their sizes.
    """

    def __init__(self, dataset: dict[str, Any], seed: int, positions: int, one_orientation: int | None = None) -> None:
        super().__init__(dataset)
        self.seed = seed
        self.positions = positions
        self.images_per_step = one_orientation
        self.upright = b"" if one_orientation is None else orientations(map(self._size, range(len(self.dataset))))

    def __len__(self) -> int:
        return self.positions

    def __getitem__(self, position: int) -> dict[str, Any]:
        epoch, place = divmod(position, len(self.dataset))
        index = int(self._order(epoch)[place])
        _seed_augmentation(self.seed, position)
        sample = self.dataset[index]
        instances = getattr(sample["data_samples"], "gt_instances", None)
        if instances is not None:
            instances.set_metainfo({"position": position})
        return sample

    def _order(self, epoch: int) -> Order:
        if self.images_per_step is None:
            return shuffled(self.seed, epoch, len(self.dataset))
        return shuffled_by_orientation(self.seed, epoch, self.upright, self.images_per_step)

    def _size(self, index: int) -> tuple[int, int]:
        said = self.dataset.get_data_info(index)
        return said["width"], said["height"]


def _read(config: dict[str, Any]) -> Any:
    with quiet():  # pycocotools prints its progress, mmpose warns of where it finds the joints
        dataset = DATASETS.build({**config, "lazy_init": True})
        try:
            dataset.full_init()
        except ValueError as error:  # mmengine cannot serialise an empty list
            if dataset.data_list:
                raise
            raise MissingData(
                f"no sample is left in {config.get('ann_file') or config.get('data_prefix')}: after its filters "
                "(images without boxes, persons without joints) the data set is empty. Check that its classes and "
                "sizes are those that the recipe trains on."
            ) from error
    return dataset


def _seed_augmentation(seed: int, position: int) -> None:
    """OpenMMLab's transforms draw from the global generators of `random` and NumPy."""
    state = np.random.SeedSequence([seed, position]).generate_state(2)
    random.seed(int(state[0]))
    np.random.seed(int(state[1]))


def per_process(images_per_step: int, processes: int) -> int:
    """Images of one step that each process takes. Raises BadOption if they do not divide."""
    if images_per_step % processes:
        raise BadOption(
            f"images_per_step is {images_per_step} over all processes and does not divide by {processes} processes. "
            f"Use a number of processes that divides it, or say --images-per-step (another protocol)."
        )
    return images_per_step // processes


@DATA_SAMPLERS.register_module()
class StepSampler(Sampler):
    """Positions of this process: a slice of every step's global batch."""

    def __init__(self, dataset: PositionedDataset, images_per_step: int, seed: int | None = None) -> None:
        self.rank, processes = get_dist_info()
        self.positions = len(dataset)
        self.images_per_step = images_per_step
        self.per_process = per_process(images_per_step, processes)
        self.first_step = 0

    def skip(self, samples: int) -> None:
        """Start after `samples` of this process; mmengine's loop calls it on resume."""
        self.first_step = samples // self.per_process

    def __iter__(self) -> Iterator[int]:
        for step in range(self.first_step, self.positions // self.images_per_step):
            start = step * self.images_per_step + self.rank * self.per_process
            yield from range(start, start + self.per_process)

    def __len__(self) -> int:
        return (self.positions // self.images_per_step - self.first_step) * self.per_process
