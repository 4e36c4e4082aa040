"""BEiT and BEiT v2 (Bao et al., ICLR 2022; Peng et al., 2022; github.com/microsoft/unilm): masked image modelling."""

from __future__ import annotations

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.declared import contract_of
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import BEIT, generic_network
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Weights, key_mapping_of, with_average
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

IMAGENET = InputContract(IMAGENET_MEAN, IMAGENET_STD)
INCEPTION = InputContract((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
FLAG = "imagenet_default_mean_and_std"
"""BEiT's training option that decides the normalisation."""

SECOND = Drop(r"cls_pt_(layers|lm_head)\..*", "BEiT v2's shallow decoder from the class token")
UNSURE = (
    "nothing in the file says how its images were normalised: mean and standard deviation 0.5 are assumed, as BEiT has "
    "them; BEiT v2 and data2vec have ImageNet's."
)


def _recognise(contents: Contents) -> Claim | None:
    state_dict = beit_network(contents)
    if state_dict is None or is_data2vec(contents, state_dict) or is_simmim(contents) or is_cae(contents):
        return None
    return Claim(f"q_bias, v_bias or relative position biases in {state_dict.where}", decisive=True)


def beit_network(contents: Contents) -> StateDict | None:
    """Return the state dict of a BEiT-like network under generic keys."""
    found = generic_network(contents, (BEIT,))
    return found[0] if found else None


def is_data2vec(contents: Contents, state_dict: StateDict) -> bool:
    """Return whether a head predicts features, as wide as the backbone's, not visual words; or training says so."""
    head, norm = state_dict.tensors.get("lm_head.weight"), state_dict.tensors.get("norm.weight")
    square = head is not None and norm is not None and tuple(head.shape) == (len(norm), len(norm))
    return square or "target_layers" in contents.args


def is_simmim(contents: Contents) -> bool:
    """Return whether SimMIM's trainer saved the file, which is Swin's: its options are under `config`."""
    return {"config", "max_accuracy"} <= contents.keys


def is_cae(contents: Contents) -> bool:
    """Return whether the training options name one of CAE's networks."""
    return str(contents.args.get("model", "")).startswith("cae_")


def trained_contract(contents: Contents, default: InputContract, warning: str) -> tuple[InputContract, tuple[str, ...]]:
    """Return the contract in the training options or a config next to the weights; else `default` with `warning`."""
    flag = contents.args.get(FLAG)
    if isinstance(flag, bool):
        chosen = IMAGENET if flag else INCEPTION
        return InputContract(chosen.mean, chosen.std, source="file"), ()
    cfg = contents.raw.config.get("pretrained_cfg", contents.raw.config)
    declared = contract_of(cfg) if isinstance(cfg, dict) else None
    return (declared, ()) if declared else (default, (warning,))


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dict = beit_network(contents)
    if state_dict is None:
        return None
    second = any(name.startswith("cls_pt_") for name in state_dict.tensors)
    contract, warnings = trained_contract(contents, IMAGENET if second else INCEPTION, UNSURE)
    networks = with_average(Weights(state_dict, rest=(SECOND,)), contents)
    heads = contents.timm_args.get("num_heads")
    defaults = FamilyDefaults(
        contract, {"position_interpolation": "bicubic"}, heads=heads, warnings=() if second else warnings
    )
    return plan_weights(contents, networks, which, defaults, key_mapping_of(state_dict.tensors, BEIT))


FAMILY = Family(
    name="beit",
    aliases=("beitv2", "beit-v2", "beit2"),
    description="BEiT and BEiT v2: ViT-B/L with relative position biases, pre-trained or fine-tuned",
    layouts=(
        "pre-training file: model with mask_token, lm_head.*, rel_pos_bias.*; v2 also cls_pt_layers.*",
        "fine-tuning file: model with biases in every block, fc_norm, head; timm's BEiT",
    ),
    recognise=_recognise,
    plan=_plan,
)
