"""DINO (Caron et al., ICCV 2021; github.com/facebookresearch/dino): self-distillation with a teacher and a student."""

from __future__ import annotations

import re

from transfer.checkpoints.contents import Branch, Contents
from transfer.checkpoints.copies import Copy, Traits, plan_copy
from transfer.checkpoints.family import Claim, Family, Plan
from transfer.checkpoints.layouts import LAYOUTS, RESNET, VIT, Layout, has_deep_stem, has_head, layout_of
from transfer.checkpoints.rules import Drop
from transfer.errors import WeightMismatch
from transfer.spec.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

IMAGENET = InputContract(IMAGENET_MEAN, IMAGENET_STD)
COPIES = ("teacher", "student")
SUCCESSORS = r"(.*\.)?(masked_embed|mask_token|register_tokens|storage_tokens|ls1\.gamma|head_dense\..*|reg_token)$"
"""Names of methods that build on DINO: iBOT, EsViT, DINOv2, DINOv3."""

PREFIX = "backbone."
HEAD = Drop(r"head\..*", "projection head of the self-distillation")
BARE = (
    "a {layout} without head at the root is taken for a DINO backbone: ImageNet mean and standard deviation, DINO's "
    "position interpolation; timm writes the same names (pass --family timm, or fdsl for FractalDB)."
)
BARE_RESNET = (
    "a ResNet without classifier at the root is taken for a DINO backbone. Barlow Twins and VICReg publish the same "
    "names and normalise alike, with ImageNet's mean and standard deviation; FractalDB and SimCLR do not (pass "
    "--family barlow_twins, fdsl, simclr, ... to say whose it is)."
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
    copies = {label: Copy(branch, PREFIX, (HEAD,)) for label, branch in _copies(contents).items()}
    if copies:
        _refuse_swapped(contents)
        layout = layout_of(next(iter(copies.values())).names)
        return plan_copy(contents, copies, which, Traits(IMAGENET, _options(layout), _arch(contents)))
    found = contents.branches.get("") or next(iter(contents.branches.values()))
    layout = layout_of(found.tensors, (RESNET, VIT))
    if layout is None:
        return None
    bare = BARE_RESNET if layout == RESNET else BARE.format(layout=layout.name)
    warnings = () if found.path else (bare,)
    traits = Traits(IMAGENET, _options(layout), _arch(contents), warnings=warnings)
    return plan_copy(contents, {"backbone": Copy(found)}, which, traits)


def _options(layout: Layout | None) -> dict[str, str]:
    return {"position_interpolation": "dino"} if layout == VIT else {}


def _refuse_swapped(contents: Contents) -> None:
    """DINO wraps the student for parallel training, and the teacher only where it has batch norms."""
    branches = contents.branches
    if {*COPIES} <= branches.keys() and branches["teacher"].wrapper and not branches["student"].wrapper:
        raise WeightMismatch(
            f"{contents.raw.path.name}: the teacher's names begin with {branches['teacher'].wrapper} and the student's "
            "do not; DINO writes them the other way round. The two were swapped: put each under its own key, or name "
            "the weights' keys teacher and student as training saved them."
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
