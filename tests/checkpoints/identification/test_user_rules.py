"""Rules files: each form leads to the features of the network, and what cannot work is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.checkpoints.genuine.files import State, small_resnet, small_vit, without
from transfer.checkpoints.loading import load_backbone
from transfer.errors import BadOption, TransferError, UnknownName, WeightMismatch

HEAD = """
kind = "{kind}"
[input]
mean = [0.1, 0.2, 0.3]
std = [0.4, 0.5, 0.6]
"""
FOREIGN = (
    HEAD.format(kind="vit").replace("[input]", 'path = "net"\n[input]')
    + r"""
[[rules]]
remove_prefix = "tower."
[[rules]]
drop = 'queue'
reason = "negatives"
[[rules]]
rename = '(.*)\.kernel'
to = '\1.weight'
[[rules]]
transpose = 'blocks\.\d+\.mlp\..*\.weight'
dims = [1, 0]
[[rules]]
reshape = 'blocks\.\d+\.norm1\.bias'
shape = [-1]
[[rules]]
join = '(.*\.attn)\.(?P<part>q|k|v)\.(weight|bias)'
parts = ["q", "k", "v"]
to = '\1.qkv.\3'
[[rules]]
split = 'norms\.(weight|bias)'
to = ['norm.\1', 'spare.\1']
[[rules]]
drop = 'spare\..*'
reason = "another norm"
"""
)

NOT_MISSING = '[[{}]]\npattern = "bn1\\\\.weight"\nreason = "why"'


def foreign(state: State) -> State:
    """A ViT's tensors as another project might name and lay them."""
    tensors: State = {"queue": torch.ones(3)}
    for name, tensor in without("head.", state).items():
        if ".attn.qkv." in name:
            tensors |= {name.replace("qkv", part): t for part, t in zip("qkv", tensor.chunk(3), strict=True)}
        elif ".mlp." in name and name.endswith("weight"):
            tensors[name.replace(".weight", ".kernel")] = tensor.T
        elif name.endswith("norm1.bias"):
            tensors[name] = tensor[None, None]
        elif name.startswith("norm."):
            tensors[name.replace("norm", "norms")] = torch.cat([tensor, tensor])
        else:
            tensors[name] = tensor
    return {f"tower.{name}": tensor for name, tensor in tensors.items()}


def written(text: str, folder: Path) -> Path:
    (folder / "rules.toml").write_text(text, encoding="utf-8")
    return folder / "rules.toml"


@pytest.mark.parametrize("text", [FOREIGN, FOREIGN.replace("remove_prefix", "strip")], ids=["present", "former"])
@torch.no_grad()
def test_every_form_of_rule(text: str, tmp_path: Path) -> None:
    network = small_vit(num_classes=0).eval()
    state = {name: torch.randn_like(tensor) * 0.1 for name, tensor in network.state_dict().items()}
    network.load_state_dict(state)
    tensors = {name: tensor for name, tensor in foreign(state).items() if name != "tower.queue"}
    torch.save({"net": tensors | {"tower.queue": torch.ones(3)}}, tmp_path / "file.pth")
    backbone, certificate = load_backbone(tmp_path / "file.pth", rules=written(text, tmp_path))
    images = torch.randn(1, 3, 64, 64)
    assert torch.allclose(backbone.forward_features(images), network.forward_features(images), atol=1e-5)
    assert certificate.family == "rules:rules.toml" and certificate.input.source == "user"
    assert certificate.dropped["tower.queue"] == "negatives" and certificate.coverage == 1


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("kind = ", BadOption, "no valid TOML"),
        (HEAD.format(kind="resnets"), UnknownName, "Did you mean resnet"),
        (HEAD.format(kind="resnet") + "[extra]", UnknownName, "key of a rules file"),
        (HEAD.format(kind="resnet").replace("mean", "means"), BadOption, "mean and std"),
        ('path = "nets"\n' + HEAD.format(kind="resnet"), UnknownName, "state dict"),
        (HEAD.format(kind="resnet") + "[[rules]]\nrenames = 'a'", BadOption, "rule 1 should have one of"),
        (HEAD.format(kind="resnet") + "[[rules]]\nrename = 'a'", BadOption, r"rule 1 \(rename\) takes to"),
        (HEAD.format(kind="resnet") + "[[rules]]\ndrop = '('\nreason = 'r'", BadOption, "is no regular expression"),
        (HEAD.format(kind="resnet") + "[[rules]]\njoin = 'a'\nparts = ['q']\nto = 'b'", BadOption, r"\?P<part>"),
        (HEAD.format(kind="resnet"), WeightMismatch, r"(?s)fc.weight.*Add a rule to rules\.toml"),
        (
            HEAD.format(kind="resnet") + NOT_MISSING.format("allowed_missing"),
            WeightMismatch,
            r"Remove it from rules\.toml",
        ),
        (HEAD.format(kind="resnet") + NOT_MISSING.format("may_init"), WeightMismatch, r"Remove it from rules\.toml"),
    ],
)
def test_what_cannot_work_is_named(text: str, error: type[TransferError], match: str, tmp_path: Path) -> None:
    torch.save(small_resnet().state_dict(), tmp_path / "file.pth")
    with pytest.raises(error, match=match):
        load_backbone(tmp_path / "file.pth", rules=written(text, tmp_path))


def test_a_rules_file_that_is_not_there(tmp_path: Path) -> None:
    torch.save(small_resnet().state_dict(), tmp_path / "file.pth")
    with pytest.raises(BadOption, match="cannot be read"):
        load_backbone(tmp_path / "file.pth", rules=tmp_path / "absent.toml")
