"""Find values that no training leaves, in one pass: NaN, constants, untouched norms, transposed storage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from transfer.checkpoints.keys.matching import Matched
from transfer.errors import WeightMismatch

SHOWN = 40
MINORITY = 0.1
LARGEST_HALF = 65504.0
UNTRAINED = (
    "this backbone looks untrained: {evidence}. Training moves these values; pass the checkpoint that was saved "
    "after it"
)
NORM = r"(.*\.)?(bn|norm|ln|gn)[^.]*|.*downsample\.[12]|conv1\.[14]"
"""Canonical names of modules that normalise."""


@dataclass(frozen=True)
class Summary:
    """A tensor in short: its least and greatest value, its number of elements `size` and of dimensions `rank`."""

    least: float
    greatest: float
    size: int
    rank: int

    @property
    def constant(self) -> bool:
        """True if all values are the same."""
        return self.least == self.greatest


def examine(matched: Matched, title: str) -> dict[str, str]:
    """Return name → what is suspicious about it; the key `*` stands for the whole backbone.

    Raises WeightMismatch for NaN, infinite values and negative variances, naming the tensors of the file.
    """
    summaries = {name: _summary(matched.sources[name].value.load()) for name in matched.sources}
    floats = {name: summary for name, summary in summaries.items() if summary is not None}
    _refuse_not_finite(floats, matched, title)
    _refuse_negative_variance(floats, matched, title)
    findings = {name: text for name, summary in floats.items() if (text := _suspicion(name, summary, matched))}
    evidence = untrained(floats)
    return findings | ({"*": UNTRAINED.format(evidence=evidence)} if evidence else {})


def stored_transposed(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return a finding for each name in the file whose tensor is a transposed view, which training does not save.

    Files of which many tensors are (transposed on conversion) are left in peace.
    """
    matrices = {name: tensor for name, tensor in tensors.items() if tensor.ndim > 1}
    transposed = [name for name, tensor in matrices.items() if not _is_contiguous(tensor)]
    if len(transposed) > MINORITY * len(matrices):
        return {}
    return dict.fromkeys(
        transposed, "lies in memory with its dimensions exchanged, unlike the others: was it transposed?"
    )


def _is_contiguous(tensor: Tensor) -> bool:
    return tensor.is_contiguous() or (tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last))


def _summary(tensor: Tensor) -> Summary | None:
    """Summarise a tensor; None for counters and empty tensors."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return None
    values = tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
    least, greatest = (float(end) for end in torch.aminmax(values))
    return Summary(least, greatest, values.numel(), values.ndim)


def _refuse_not_finite(summaries: Mapping[str, Summary], matched: Matched, title: str) -> None:
    ends = {name: torch.tensor([s.least, s.greatest]) for name, s in summaries.items()}
    bad = [name for name, pair in ends.items() if not pair.isfinite().all()]
    if bad:
        raise WeightMismatch(
            f"{title}: {len(bad)} tensors hold NaN or infinite values\n{_listed(bad, matched)}\nThe training diverged "
            "or the file is damaged: use an earlier checkpoint."
        )


def _refuse_negative_variance(summaries: Mapping[str, Summary], matched: Matched, title: str) -> None:
    bad = [name for name, s in summaries.items() if name.endswith("running_var") and s.least < 0]
    if bad:
        raise WeightMismatch(
            f"{title}: {len(bad)} variances are negative\n{_listed(bad, matched)}\nNo training leaves that: the file "
            "is damaged or its tensors are in the wrong places."
        )


def _listed(names: Iterable[str], matched: Matched) -> str:
    sources = [matched.sources[name] for name in list(names)[:SHOWN]]
    return "\n".join(f"  + {source.name}   {source.value.shape}" for source in sources)


def _suspicion(name: str, summary: Summary, matched: Matched) -> str | None:
    half = matched.sources[name].value.dtype == torch.float16
    if half and max(-summary.least, summary.greatest) >= LARGEST_HALF:
        return f"reaches {LARGEST_HALF:g}, the largest number of float16: values were cut off"
    if name.endswith("running_var") and summary.least == 0:
        return "has variances of zero: channels that were always the same"
    if summary.rank > 1 and summary.size > 1 and summary.constant:
        return f"is {summary.least:g} everywhere"
    return None


def untrained(summaries: Mapping[str, Summary]) -> str | None:
    """Return evidence that no step of training was taken, None where there is none.

    Every normalisation still multiplies by 1 (or 0: a zeroed residual branch) and adds 0, as layers are made.
    """
    norms = {name: s for name, s in summaries.items() if s.rank == 1 and re.fullmatch(NORM, name.rpartition(".")[0])}
    scales = [s for name, s in norms.items() if name.endswith(".weight")]
    shifts = [s for name, s in norms.items() if name.endswith(".bias")]
    if not scales or not shifts:
        return None
    moved = any(not s.constant or s.least not in (0.0, 1.0) for s in scales) or any(
        not s.constant or s.least != 0 for s in shifts
    )
    return None if moved else f"all {len(scales)} normalisations multiply by 1 and add 0"
