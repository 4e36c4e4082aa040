"""SimCLR (Chen et al., ICML 2020) in PyTorch: converted from TensorFlow by tonylins and Separius, trained by sthalles.

All of them take pixels between 0 and 1 as they are.
"""

from __future__ import annotations

import re

from transfer.checkpoints.families.shared.numbered import NUMBERED, numbered_rules
from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import CLASSIFIER, RESNET, generic_network, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop, Rename, Rule
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.errors import UnsupportedNetwork
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
    if state_dict := contents.first(_is_separius):
        return Claim(f"net.*.blocks.*.net.* in {state_dict.where}", decisive=True)
    if state_dict := contents.first(_is_sthalles):
        return Claim(
            f"backbone.* with a projection head as its fc, and nothing else, in {state_dict.where}", decisive=True
        )
    if state_dict := contents.first(_is_old_sthalles):
        return Claim(f"features.* and the projection l1, l2 in {state_dict.where}", decisive=True)
    return None


def _is_separius(state_dict: StateDict) -> bool:
    return any(re.match(BLOCK + r"(net|projection)\.", name) for name in state_dict.tensors)


def _is_sthalles(state_dict: StateDict) -> bool:
    own = all(re.match(r"(module\.)*backbone\.", name) for name in state_dict.tensors)
    head = any(re.match(r"(module\.)*backbone\.fc\.[02]\.", name) for name in state_dict.tensors)
    return own and head and layout_of(names_under(state_dict, "backbone.")) == RESNET


def _is_old_sthalles(state_dict: StateDict) -> bool:
    head = any(re.match(r"l[12]\.(weight|bias)", name) for name in state_dict.tensors)
    return head and any(re.match(NUMBERED, name) for name in names_under(state_dict, "features."))


def _plan(contents: Contents, which: str | None) -> Plan | None:
    if state_dict := contents.first(_is_separius):
        _refuse_selective_kernels(state_dict, contents.raw.path.name)
        key_mapping, defaults = KeyMapping("resnet", BLOCK_RULES), FamilyDefaults(PIXELS, warnings=(CONVERTED,))
        return plan_weights(contents, {"model": Weights(state_dict)}, which, defaults, key_mapping)
    if state_dict := contents.first(_is_sthalles):
        return plan_weights(
            contents, {"model": Weights(state_dict, "backbone.", (HEAD,))}, which, FamilyDefaults(PIXELS)
        )
    if state_dict := contents.first(_is_old_sthalles):
        key_mapping = KeyMapping("resnet", numbered_rules(names_under(state_dict, "features.")))
        return plan_weights(
            contents,
            {"model": Weights(state_dict, "features.", (OLD_HEAD,))},
            which,
            FamilyDefaults(PIXELS),
            key_mapping,
        )
    found = generic_network(contents, (RESNET,))
    if found is None:
        return None
    return plan_weights(contents, {"model": Weights(found[0])}, which, FamilyDefaults(PIXELS, warnings=(CONVERTED,)))


def _refuse_selective_kernels(state_dict: StateDict, file: str) -> None:
    selective = [name for name in state_dict.tensors if ".mixing_conv." in name]
    if selective:
        raise UnsupportedNetwork(
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
