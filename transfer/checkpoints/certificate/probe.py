"""Probe whether the network's batch norms see what they counted while it was trained.

Every batch norm keeps the mean and variance that its inputs had in training. Images with the statistics of photographs
are fed in under each input contract that projects use; the contract under which the first batch norm sees what it
remembers is the one that the network was trained with. Further down, a layer whose inputs suddenly disagree with its
memory stands behind a damaged kernel or a misplaced stride.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from transfer.checkpoints.certificate.images import natural_images
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

COUNT, SIZE, DEEP = 32, 96, 16
"""Images of the probe, their side in pixels, and how many of them go through the whole backbone."""

CAFFE_MEAN = (103.53, 116.28, 123.675)
VGG_MEAN = (123.68, 116.78, 103.94)
ONES = (1.0, 1.0, 1.0)
RIVALS: Mapping[str, InputContract] = {
    "ImageNet mean and std": InputContract(IMAGENET_MEAN, IMAGENET_STD),
    "ImageNet mean and std, BGR": InputContract(IMAGENET_MEAN[::-1], IMAGENET_STD[::-1], channel_order="BGR"),
    "[-1, 1]": InputContract((0.5,) * 3, (0.5,) * 3),
    "[0, 1]": InputContract((0.0,) * 3, ONES),
    "mean .2, std .5": InputContract((0.2,) * 3, (0.5,) * 3),
    "[0, 255] BGR less the mean": InputContract(CAFFE_MEAN, ONES, "0-255", "BGR"),
    "[0, 255] RGB less the mean": InputContract(VGG_MEAN, ONES, "0-255"),
    "[0, 255]": InputContract((0.0,) * 3, ONES, "0-255"),
}
"""Input contracts that published checkpoints have."""

AGREES, UNCLEAR = 0.1, 0.3
"""A contract agrees within this divergence of the best; beyond the second none does."""

UNLIKE, JUMP = 0.25, 2.0
"""A layer stands out that disagrees at least so much, and by this factor more than any before it."""

CLIPPED = 20.0


@dataclass(frozen=True)
class Disagreement:
    """A batch norm's mean divergence, over its channels, between what it sees and what it remembers."""

    name: str
    divergence: float


class _Enough(Exception):
    """The first batch norm was reached."""


def norms_of(backbone: nn.Module) -> dict[str, nn.BatchNorm2d]:
    """Return the batch norms with statistics, in the order of the modules."""
    found = {name: m for name, m in backbone.named_modules() if isinstance(m, nn.BatchNorm2d)}
    return {name: norm for name, norm in found.items() if norm.track_running_stats}


def _memory(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return mean and variance that the norm remembers."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without statistics cannot be probed: it was built with track_running_stats off.")
    return norm.running_mean.float(), norm.running_var.float()


def prepared(images: Tensor, contract: InputContract) -> Tensor:
    """Turn `(B, 3, H, W)` RGB from 0 to 1 into what a network with this contract is fed."""
    scaled = images * (255 if contract.range == "0-255" else 1)
    ordered = scaled.flip(1) if contract.channel_order == "BGR" else scaled
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (contract.mean, contract.std))
    return (ordered - mean) / std


@torch.no_grad()
def disagreements(backbone: nn.Module, images: Tensor, *, first_only: bool = False) -> list[Disagreement]:
    """Measure every batch norm in the order of the forward pass, for `(B, 3, H, W)` prepared images."""
    found: list[Disagreement] = []
    norms = norms_of(backbone)

    def look(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            found.append(Disagreement(name, divergence(inputs[0], norms[name])))
            if first_only:
                raise _Enough

        return hook

    handles = [norm.register_forward_pre_hook(look(name)) for name, norm in norms.items()]
    try:
        backbone.forward_features(images)  # type: ignore[operator]
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found


def divergence(inputs: Tensor, norm: nn.BatchNorm2d) -> float:
    """Return the Kullback-Leibler divergence from the remembered to the seen Gaussian, as mean over channels."""
    variance, mean = torch.var_mean(inputs.float(), dim=(0, 2, 3))
    old_mean, old = _memory(norm)
    old = old.clamp_min(1e-12)
    ratio = variance.clamp_min(1e-12) / old
    each = 0.5 * (ratio + (mean - old_mean) ** 2 / old - 1 - ratio.log())
    return float(each.clamp(0, CLIPPED).mean())


@dataclass(frozen=True)
class Verdict:
    """The probe's result: `text` for people; `divergences` of the declared contract and its rivals, best first.

    They are those at the first batch norm. `wrong` says that something else than what was declared fits better.
    """

    text: str
    divergences: Mapping[str, float]
    wrong: bool = False


def judge(backbone: nn.Module, declared: InputContract) -> Verdict:
    """Ask the batch norms of a filled backbone about its declared contract, and about its kernels."""
    if (reason := _nothing_to_tell(backbone)) is not None:
        return Verdict(f"cannot tell: {reason}", {})
    images = natural_images(COUNT, SIZE)
    contracts = {"declared": declared, **{name: rival for name, rival in RIVALS.items() if not _same(rival, declared)}}
    found = {name: disagreements(backbone, prepared(images, c), first_only=True) for name, c in contracts.items()}
    ranked = sorted(((name, round(seen[0].divergence, 3)) for name, seen in found.items()), key=lambda pair: pair[1])
    verdict = _on_contract(dict(ranked))
    if verdict.wrong or not verdict.text.startswith("agrees"):
        return verdict
    jump = _first_jump(disagreements(backbone, prepared(images[:DEEP], declared)))
    return verdict if jump is None else Verdict(f"{verdict.text}; but {jump}", verdict.divergences, wrong=True)


def _nothing_to_tell(backbone: nn.Module) -> str | None:
    norms = norms_of(backbone)
    if not norms:
        return "the backbone has no batch normalisation"
    mean, variance = _memory(next(iter(norms.values())))
    if not mean.any() and bool((variance == 1).all()):
        return "batch normalisation counted no images"
    if bool((variance <= 0).any()):
        return "batch normalisation remembers channels without variance"
    return None


def _same(one: InputContract, other: InputContract) -> bool:
    return (one.mean, one.std, one.range, one.channel_order) == (
        other.mean,
        other.std,
        other.range,
        other.channel_order,
    )


def _on_contract(ranked: Mapping[str, float]) -> Verdict:
    """Judge the contract by `ranked`: contract → divergence, best first."""
    best, least = next(iter(ranked.items()))
    if least > UNCLEAR:
        return Verdict("cannot tell: the statistics agree with no known contract on photographs", ranked)
    if ranked["declared"] <= max(least + AGREES, 2 * least):
        return Verdict("agrees with the declared contract", ranked)
    text = f"the declared contract looks wrong: {best} fits better ({least:g} against {ranked['declared']:g})"
    return Verdict(text, ranked, wrong=True)


def _first_jump(seen: list[Disagreement]) -> str | None:
    """Name the first batch norm that disagrees far more than all before it."""
    worst = seen[0].divergence
    for layer in seen[1:]:
        if layer.divergence > max(UNLIKE, JUMP * worst):
            return (
                f"{layer.name} disagrees with what it remembers ({layer.divergence:.2f}, before it at most "
                f"{worst:.2f}): the kernel before it may be transposed, damaged or another network's"
            )
        worst = max(worst, layer.divergence)
    return None
