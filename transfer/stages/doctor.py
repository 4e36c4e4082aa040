"""Is this machine ready?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from transfer.datasets.layouts import LAYOUTS, locate
from transfer.errors import TransferError
from transfer.openmmlab.bridge import status
from transfer.spec.places import data_root
from transfer.stages.environment import DISTRIBUTIONS, version


@dataclass(frozen=True)
class Finding:
    """One line of the report; a finding that is `needed` and not `ok` keeps runs from starting."""

    subject: str
    ok: bool
    text: str
    needed: bool = True


def examine() -> list[Finding]:
    """Packages, compiled operators, one convolution, disk, data sets, GPUs."""
    return [*_packages(), _operators(), _disk(), *_data(), _devices()]


def _packages() -> list[Finding]:
    found = {name: version(name) for name in DISTRIBUTIONS}
    return [Finding(name, found[name] is not None, found[name] or "run `make setup`") for name in DISTRIBUTIONS]


def _operators() -> Finding:
    from torchvision.ops import nms, roi_align

    def work() -> str:
        boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
        nms(boxes, torch.ones(1), 0.5)
        roi_align(torch.zeros(1, 1, 8, 8), [boxes], 2)
        return f"NMS and RoI align run; {status()}"

    return _attempt("operators", work)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return Finding("disk", free > 2, f"{free:.0f} GiB free here (work_dirs needs a few)")


def _data() -> list[Finding]:
    root = data_root()
    pairs = [(name, kind) for name, kinds in LAYOUTS.items() if name != "mini" for kind in kinds]
    return [_attempt(f"data {name} ({kind})", partial(_found, name, kind, root), needed=False) for name, kind in pairs]


def _found(name: str, kind: str, root: Path) -> str:
    return f"found: {locate(name, kind, root)[1].annotations}"


def _devices() -> Finding:
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return Finding("GPU", bool(gpus), ", ".join(gpus) or f"none; {os.cpu_count()} CPU cores", needed=False)


def _attempt(subject: str, work: Callable[[], str], needed: bool = True) -> Finding:
    try:
        return Finding(subject, True, work(), needed)
    except (TransferError, RuntimeError) as error:
        return Finding(subject, False, str(error).splitlines()[0].removesuffix(" Missing:"), needed)
