"""A torch file inside a pickle: what plain `pickle.dump` makes of tensors."""

from __future__ import annotations

from typing import Any

from transfer.checkpoints.reading.containers.torch_legacy import read_legacy
from transfer.checkpoints.reading.pickles.unpickling import no_storage
from transfer.checkpoints.reading.source import Source


def read_nested(data: Any) -> Any:
    """`torch.storage._load_from_bytes`: a storage or tensor, saved in the older format, one level deep."""
    return read_legacy(Source(memoryview(data)), no_storage)[1]
