"""Is this machine ready? Missing packages are part of the answer: nothing here is imported before it is tried."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from transfer.datasets.declaration import Declaration, dataset_names, find_declaration
from transfer.datasets.layouts import find_home
from transfer.errors import TransferError
from transfer.files.packages import DISTRIBUTIONS, version
from transfer.files.places import data_root


@dataclass(frozen=True)
class Finding:
    """One line of the report; a finding that is `needed` and not `ok` keeps runs from starting."""

    subject: str
    ok: bool
    text: str
    needed: bool = True


def examine() -> list[Finding]:
    """Packages, operators, disk, data sets, GPUs."""
    return [*_packages(), _attempt("operators", _operators), _disk(), *_data(), _devices()]


def _packages() -> list[Finding]:
    found = {name: version(name) for name in DISTRIBUTIONS}
    return [
        Finding(name, installed is not None, installed or "not installed; run `make setup`")
        for name, installed in found.items()
    ]


def _operators() -> str:
    from transfer.openmmlab.trial import try_operators

    return try_operators()


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return Finding("disk", free > 2, f"{free:.0f} GiB free here (work_dirs needs a few)")


def _data() -> list[Finding]:
    root = data_root()
    known = [find_declaration(name, root) for name in dataset_names(root) if name != "mini"]
    pairs = [(declared, name) for declared in known for name in declared.annotations]
    return [_attempt(f"data {d.name} ({name})", partial(_found, d, name, root), needed=False) for d, name in pairs]


def _found(declared: Declaration, annotations: str, root: Path) -> str:
    return f"found: {find_home(declared, annotations, root)}"


def _devices() -> Finding:
    try:
        gpus = _gpus()
    except (ImportError, OSError) as error:
        return Finding("GPU", False, f"unknown without torch: {error}", needed=False)
    return Finding("GPU", bool(gpus), ", ".join(gpus) or f"none; {os.cpu_count()} CPU cores", needed=False)


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _attempt(subject: str, work: Callable[[], str], needed: bool = True) -> Finding:
    try:
        return Finding(subject, True, work(), needed)
    except ImportError as error:
        return Finding(subject, False, f"{error}; run `make setup`", needed)
    except (TransferError, RuntimeError, OSError) as error:
        first = str(error).partition("\n")[0] or type(error).__name__
        return Finding(subject, False, first.removesuffix(" Missing:"), needed)
