"""CAE (Chen et al., IJCV 2023; github.com/lxtGH/CAE): a context autoencoder's encoder, with fixed positions."""

from __future__ import annotations

from collections.abc import Iterable

from transfer.checkpoints.families.beit import IMAGENET, beit_network, is_cae, trained_contract
from transfer.checkpoints.keys.contents import Branch, Contents
from transfer.checkpoints.keys.family import Claim, Family, Plan
from transfer.checkpoints.keys.layouts import BEIT, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Copy, Traits, naming_of, plan_copy

PREFIXES = {"encoder": "encoder.", "teacher": "teacher."}
NECK = Drop(r"(pretext_neck\..*|mask_token|encoder_to_decoder.*)", "regressor and decoder of the masked patches")
PROBE = Drop(r"(attentive_blocks\..*|query_token)", "attentive probe: not part of the trunk")
SMALL = 384
"""CAE's small network has 12 heads instead of 6."""

UNSAID = "nothing in the file says how its images were normalised: ImageNet's mean and standard deviation are assumed."


def _recognise(contents: Contents) -> Claim | None:
    copies = _copies(contents)
    if not copies:
        return None
    return Claim(f"{' and '.join(copies)} of a context autoencoder", decisive=True)


def _copies(contents: Contents) -> dict[str, Copy]:
    branch = next((branch for branch in contents.branches.values() if _is_cae(branch)), None)
    if branch is not None:
        return {label: _copy(branch, label) for label in PREFIXES if names_under(branch, PREFIXES[label])}
    tuned = beit_network(contents) if is_cae(contents) else None
    return {"model": Copy(tuned, beside=(PROBE,))} if tuned else {}


def _is_cae(branch: Branch) -> bool:
    neck = any(name.startswith("pretext_neck.") for name in branch.tensors)
    encoders = [name for prefix in PREFIXES.values() for name in names_under(branch, prefix)]
    both = all(names_under(branch, prefix) for prefix in PREFIXES.values())
    return (neck or both) and layout_of(encoders, (BEIT,)) is not None


def _copy(branch: Branch, label: str) -> Copy:
    other = next(name for name in PREFIXES if name != label)
    return Copy(branch, PREFIXES[label], (NECK, Drop(rf"{other}\..*", f"{other}: the {label} was chosen")))


def _plan(contents: Contents, which: str | None) -> Plan | None:
    copies = _copies(contents)
    if not copies:
        return None
    copy = next(iter(copies.values()))
    contract, warnings = trained_contract(contents, IMAGENET, UNSAID)
    traits = Traits(contract, _options(copy.names), heads=_heads(copy), warnings=warnings)
    return plan_copy(contents, copies, which, traits, naming_of(copy.names, BEIT))


def _options(names: Iterable[str]) -> dict[str, str | bool]:
    """Positions are absolute, even where a damaged file lacks them."""
    biased = any(name.endswith("relative_position_bias_table") for name in names)
    plain: dict[str, str | bool] = {"position_interpolation": "bicubic", "absolute": True}
    return plain if biased else {**plain, "bias": "none"}


def _heads(copy: Copy) -> int | None:
    token = copy.branch.tensors.get(f"{copy.prefix}cls_token")
    return 12 if token is not None and token.shape[-1] == SMALL else None


FAMILY = Family(
    name="cae",
    aliases=(),
    description="CAE: ViT-S (12 heads), ViT-B and ViT-L encoders of a context autoencoder",
    layouts=(
        "pre-training file: model with encoder.*, teacher.*, pretext_neck.*; args",
        "fine-tuning file: model, and args that name cae_*",
    ),
    recognise=_recognise,
    plan=_plan,
)
