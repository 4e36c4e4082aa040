"""DINO (Caron et al., ICCV 2021; github.com/facebookresearch/dino): self-distillation with a teacher and a student."""

from __future__ import annotations

import re

from transfer.checkpoints.contents import Branch, Contents
from transfer.checkpoints.family import Claim, Family, Plan, Twin, choose
from transfer.checkpoints.layouts import (
    LAYOUTS,
    RESNET,
    VIT,
    Layout,
    canonical_rules,
    has_deep_stem,
    has_head,
    layout_of,
    legacy_batchnorm,
)
from transfer.checkpoints.rules import Drop, Rule, Strip
from transfer.spec.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

COPIES = ("teacher", "student")
SUCCESSORS = r"(.*\.)?(masked_embed|mask_token|register_tokens|storage_tokens|ls1\.gamma|head_dense\..*|reg_token)$"
"""Names of methods that build on DINO: iBOT, EsViT, DINOv2, DINOv3."""

PREFIX = "backbone."
HEAD = Drop(r"head\..*", "projection head of the self-distillation")
BARE = (
    "a {layout} without head at the root is taken for a DINO backbone: ImageNet mean and standard deviation, DINO's "
    "position interpolation; timm writes the same names (pass --family timm, or fdsl for FractalDB)."
)


def _recognise(contents: Contents) -> Claim | None:
    copies = _copies(contents)
    if copies and "ibot_loss" not in contents.keys:
        return Claim(f"{' and '.join(copies)} with backbone.* names", decisive=True)
    root = contents.branches.get("")
    if root is None or contents.raw.container == "safetensors" or contents.raw.config or "version" in contents.keys:
        return None
    layout = _bare_layout(root)
    return Claim(f"{layout.name} names without head at the root") if layout else None


def _copies(contents: Contents) -> dict[str, Branch]:
    branches = {name: contents.branches[name] for name in COPIES if name in contents.branches}
    return {name: branch for name, branch in branches.items() if _is_dino(branch)}


def _is_dino(branch: Branch) -> bool:
    inner = [name.rpartition(PREFIX)[2] for name in branch.tensors if PREFIX in name]
    foreign = any(re.match(SUCCESSORS, name) for name in branch.tensors)
    return layout_of(inner, (RESNET, VIT)) is not None and not foreign


def _bare_layout(root: Branch) -> Layout | None:
    layout = layout_of(root.tensors, LAYOUTS)
    newer = any(re.match(SUCCESSORS, name) or "_norm." in name for name in root.tensors)
    if layout not in (RESNET, VIT) or has_head(root, layout) or has_deep_stem(root) or newer:
        return None
    return layout


def _plan(contents: Contents, which: str | None) -> Plan | None:
    copies = _copies(contents)
    if copies:
        return _training_plan(contents, copies, which)
    found = contents.branches.get("") or next(iter(contents.branches.values()))
    layout = layout_of(found.tensors, (RESNET, VIT))
    if layout is None:
        return None
    return _plan_of(contents, choose(which, ("backbone",)), found, layout, canonical_rules(found.tensors, layout))


def _training_plan(contents: Contents, copies: dict[str, Branch], which: str | None) -> Plan | None:
    chosen = choose(which, tuple(copies))
    branch = copies[chosen]
    layout = layout_of((name.rpartition(PREFIX)[2] for name in branch.tensors), (RESNET, VIT))
    if layout is None:
        return None
    rules: tuple[Rule, ...] = (HEAD, Strip(PREFIX))
    twins = tuple(Twin(f"the {name}", copy.tensors, rules) for name, copy in copies.items() if name != chosen)
    return _plan_of(contents, chosen, branch, layout, rules, twins)


def _plan_of(
    contents: Contents,
    which: str,
    branch: Branch,
    layout: Layout,
    rules: tuple[Rule, ...],
    twins: tuple[Twin, ...] = (),
) -> Plan:
    names = [name for name in branch.tensors if not name.startswith("head.")]
    return Plan(
        which=which,
        kind=layout.kind,
        branch=branch,
        rules=rules,
        input=InputContract(IMAGENET_MEAN, IMAGENET_STD),
        may_init=legacy_batchnorm(names) if layout == RESNET else (),
        options={"position_interpolation": "dino"} if layout == VIT else {},
        arch=_arch(contents),
        twins=twins,
        warnings=() if twins or branch.path else (BARE.format(layout=layout.name),),
    )


def _arch(contents: Contents) -> str | None:
    """`vit_small` with `patch_size` 8 in the training options → `vit_small_patch8_224`."""
    arch, patch = contents.arch, contents.args.get("patch_size")
    if arch and re.fullmatch(r"(vit|deit)_(tiny|small|base)", arch):
        return f"{arch}_patch{patch}_224" if isinstance(patch, int) else None
    return arch


FAMILY = Family(
    name="dino",
    aliases=(),
    description="DINO: self-distilled ViT-T/S/B with patches of 8 or 16, and ResNets",
    layouts=(
        "training file: student, teacher, optimizer, epoch, args, dino_loss",
        "the backbone's state dict at the root, without head",
    ),
    recognise=_recognise,
    plan=_plan,
)
