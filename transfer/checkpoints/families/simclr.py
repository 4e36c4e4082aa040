"""SimCLR (Chen et al., ICML 2020) in PyTorch: converted from TensorFlow by tonylins and Separius, trained by sthalles.

All of them take pixels between 0 and 1 as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from transfer.checkpoints.families.shared.numbered import NUMBERED, numbered_rules
from transfer.checkpoints.keys.contents import Branch, Contents
from transfer.checkpoints.keys.family import Claim, Family, Plan
from transfer.checkpoints.keys.layouts import CLASSIFIER, RESNET, layout_of, names_under, plain_network
from transfer.checkpoints.keys.rules import Drop, Rename, Rule
from transfer.checkpoints.keys.weights import Copy, Naming, Traits, plan_copy
from transfer.errors import WeightMismatch
from transfer.schemas.checkpoint import InputContract

PIXELS = InputContract((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
BLOCK = r"net\.([1-4])\.blocks\.(\d+)\."
BLOCK_RULES: tuple[Rule, ...] = (
    Drop(r"fc\..*", CLASSIFIER),
    Rename(r"net\.0\.0\.(.*)", r"conv1.\1"),
    Rename(r"net\.0\.1\.0\.(.*)", r"bn1.\1"),
    *(Rename(BLOCK + rf"net\.{2 * k}\.(.*)", rf"layer\1.\2.conv{k + 1}.\3") for k in range(3)),
    *(Rename(BLOCK + rf"net\.{2 * k + 1}\.0\.(.*)", rf"layer\1.\2.bn{k + 1}.\3") for k in range(3)),
    Rename(BLOCK + r"projection\.shortcut\.(.*)", r"layer\1.\2.downsample.0.\3"),
    Rename(BLOCK + r"projection\.bn\.0\.(.*)", r"layer\1.\2.downsample.1.\3"),
)
HEAD = Drop(r"backbone\.fc\..*", "projection head of the loss")
OLD_HEAD = Drop(r"l[12]\..*", "projection head of the loss")

CONVERTED = (
    "converted from TensorFlow, whose stem pools with SAME padding: here it pools as the conversion does, "
    "symmetrically. Features of the original network come from the TensorFlow checkpoint itself."
)


def _recognise(contents: Contents) -> Claim | None:
    if branch := _found(contents, _is_separius):
        return Claim(f"net.*.blocks.*.net.* in {branch.where}", decisive=True)
    if branch := _found(contents, _is_sthalles):
        return Claim(f"backbone.* with a projection head as its fc, and nothing else, in {branch.where}", decisive=True)
    if branch := _found(contents, _is_old_sthalles):
        return Claim(f"features.* and the projection l1, l2 in {branch.where}", decisive=True)
    return None


def _found(contents: Contents, test: Callable[[Branch], bool]) -> Branch | None:
    return next((branch for branch in contents.branches.values() if test(branch)), None)


def _is_separius(branch: Branch) -> bool:
    return any(re.match(BLOCK + r"(net|projection)\.", name) for name in branch.tensors)


def _is_sthalles(branch: Branch) -> bool:
    own = all(re.match(r"(module\.)*backbone\.", name) for name in branch.tensors)
    head = any(re.match(r"(module\.)*backbone\.fc\.[02]\.", name) for name in branch.tensors)
    return own and head and layout_of(names_under(branch, "backbone.")) == RESNET


def _is_old_sthalles(branch: Branch) -> bool:
    head = any(re.match(r"l[12]\.(weight|bias)", name) for name in branch.tensors)
    return head and any(re.match(NUMBERED, name) for name in names_under(branch, "features."))


def _plan(contents: Contents, which: str | None) -> Plan | None:
    if branch := _found(contents, _is_separius):
        _refuse_selective_kernels(branch, contents.raw.path.name)
        naming, traits = Naming("resnet", BLOCK_RULES), Traits(PIXELS, warnings=(CONVERTED,))
        return plan_copy(contents, {"model": Copy(branch)}, which, traits, naming)
    if branch := _found(contents, _is_sthalles):
        return plan_copy(contents, {"model": Copy(branch, "backbone.", (HEAD,))}, which, Traits(PIXELS))
    if branch := _found(contents, _is_old_sthalles):
        naming = Naming("resnet", numbered_rules(names_under(branch, "features.")))
        return plan_copy(contents, {"model": Copy(branch, "features.", (OLD_HEAD,))}, which, Traits(PIXELS), naming)
    found = plain_network(contents, (RESNET,))
    if found is None:
        return None
    return plan_copy(contents, {"model": Copy(found[0])}, which, Traits(PIXELS, warnings=(CONVERTED,)))


def _refuse_selective_kernels(branch: Branch, file: str) -> None:
    selective = [name for name in branch.tensors if ".mixing_conv." in name]
    if selective:
        raise WeightMismatch(
            f"{file}: a SimCLR v2 network with selective kernels (sk1), whose blocks choose between two convolutions: "
            f"{len(selective)} tensors such as\n  + {selective[0]}\nhave no place in a ResNet. Use a checkpoint "
            "without them (sk0)."
        )


FAMILY = Family(
    name="simclr",
    aliases=("simclr-pytorch", "simclr-converter"),
    description="SimCLR and SimCLR v2 without selective kernels in PyTorch: ResNets, also 2, 3 and 4 times as wide",
    layouts=(
        "Separius/SimCLRv2-Pytorch: resnet with net.0.0, net.1.blocks.0.net.0, ..., fc; head",
        "sthalles/SimCLR: state_dict with backbone.* and its projection head backbone.fc.0, fc.2; epoch, arch",
        "sthalles/SimCLR before 2021: the state dict at the root, with features.0, features.4.0.conv1, ..., l1, l2",
        "tonylins/simclr-converter: state_dict with a ResNet's names, which are anybody's, with --family",
    ),
    recognise=_recognise,
    plan=_plan,
)
