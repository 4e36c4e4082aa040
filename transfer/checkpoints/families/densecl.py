"""OpenSelfSup's files: DenseCL (Wang et al., CVPR 2021; github.com/WXinlong/DenseCL), and its MoCo, BYOL, NPID, ...

A file holds the backbone twice where the method has two networks: as `backbone`, and as the first part of the encoder
that is trained. Both are the same tensors.
"""

from __future__ import annotations

import re

import torch

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import RESNET, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Weights, networks_under
from transfer.errors import WeightMismatch
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

BACKBONE = "backbone."
PAIRS = {
    "encoder_q.0.": {"query": BACKBONE, "key": "encoder_k.0."},
    "online_net.0.": {"online": BACKBONE, "target": "target_net.0."},
}
"""Prefix under which the backbone is stored again → the two networks and their prefixes, by the method's names."""

REST = (
    Drop(r"(encoder_[qk]|online_net|target_net)\.1\..*", "projection head of the loss"),
    Drop(r"(neck|head)\..*", "head of the pretext task"),
    Drop(r"memory_bank\..*", "memory of features"),
    Drop(r"queue2?(_ptr)?", "queue of negative examples"),
)
SHOWN = 5


def _recognise(contents: Contents) -> Claim | None:
    state_dict = _state_dict(contents)
    if state_dict is not None and (pair := _pair(state_dict)):
        return Claim(f"the backbone as backbone.* and as {pair}* in {state_dict.where}", decisive=True)
    if _is_extracted(contents):
        return Claim("author: OpenSelfSup next to a ResNet's names", decisive=True)
    if state_dict is not None and "openselfsup_version" in contents.meta:
        return Claim(f"openselfsup_version in meta, backbone.* in {state_dict.where}", decisive=True)
    return None


def _state_dict(contents: Contents) -> StateDict | None:
    """Return the state dict with the backbone under `backbone`, unless mmengine wrote it."""
    foreign = "mmengine_version" in contents.meta
    state_dicts = [b for b in contents.state_dicts.values() if layout_of(names_under(b, BACKBONE)) == RESNET]
    return state_dicts[0] if state_dicts and not foreign else None


def _pair(state_dict: StateDict) -> str | None:
    return next((prefix for prefix in PAIRS if any(name.startswith(prefix) for name in state_dict.tensors)), None)


def _is_extracted(contents: Contents) -> bool:
    """Return whether `extract_backbone_weights.py` wrote the file, as the project publishes them."""
    return contents.raw.tree.get("author") == "OpenSelfSup" and "state_dict" in contents.state_dicts


def _plan(contents: Contents, which: str | None) -> Plan | None:
    defaults = FamilyDefaults(InputContract(IMAGENET_MEAN, IMAGENET_STD), _options(contents))
    state_dict = _state_dict(contents)
    if state_dict is not None:
        return plan_weights(contents, _networks(state_dict, contents.raw.path.name), which, defaults)
    if _is_extracted(contents):
        return plan_weights(contents, {"backbone": Weights(contents.state_dicts["state_dict"])}, which, defaults)
    return None


def _options(contents: Contents) -> dict[str, str]:
    """Read `style` in its configuration, which is saved as text and says where bottlenecks stride."""
    text = contents.meta.get("config")
    caffe = isinstance(text, str) and re.search(r"style\s*=\s*['\"]caffe['\"]", text)
    return {"stride_in": "1x1"} if caffe else {}


def _networks(state_dict: StateDict, file: str) -> dict[str, Weights]:
    again = _pair(state_dict)
    if again is None:
        return {"backbone": Weights(state_dict, BACKBONE, REST)}
    _refuse_different(state_dict, again, file)
    same = Drop(re.escape(again) + ".*", "the same tensors as backbone, stored again")
    present = {label: prefix for label, prefix in PAIRS[again].items() if names_under(state_dict, prefix)}
    return networks_under(state_dict, present, (*REST, same))


def _refuse_different(state_dict: StateDict, again: str, file: str) -> None:
    """Raise WeightMismatch unless the backbone has the same values under both of its names."""
    here, there = (set(names_under(state_dict, prefix)) for prefix in (BACKBONE, again))
    different = here ^ there | {n for n in here & there if not _same(state_dict, BACKBONE + n, again + n)}
    if different:
        names = sorted(different)
        raise WeightMismatch(
            f"{file}: {BACKBONE}* and {again}* should be one network, stored twice, but {len(names)} of "
            f"{len(here | there)} tensors differ:\n"
            + "\n".join(f"  + {BACKBONE}{name}\n  + {again}{name}" for name in names[:SHOWN])
            + "\nThe file was put together from two networks. Write one network's weights under both names."
        )


def _same(state_dict: StateDict, name: str, again: str) -> bool:
    one, other = state_dict.tensors[name], state_dict.tensors[again]
    shared = one.data_ptr() == other.data_ptr() and one.shape == other.shape and one.stride() == other.stride()
    return shared or torch.equal(one, other)


FAMILY = Family(
    name="densecl",
    aliases=("openselfsup",),
    description="DenseCL and other methods in OpenSelfSup: MoCo, BYOL, SimCLR, NPID, ODC, DeepCluster, Rotation, ...",
    layouts=(
        "training file: state_dict with backbone.*, encoder_q.0.*, encoder_k.0.*, queue, queue2 (BYOL: online_net.0.*, "
        "target_net.0.*; other methods: neck, head, memory_bank); meta with openselfsup_version",
        "extracted file: state_dict with a ResNet's names; author: OpenSelfSup",
    ),
    recognise=_recognise,
    plan=_plan,
)
