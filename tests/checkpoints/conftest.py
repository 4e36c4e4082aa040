"""Files as the projects themselves write them, around small networks of theirs with random weights."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, softmax
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

State = dict[str, Tensor]
Levels = Callable[[Tensor], list[Tensor]]


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights and statistics that make every tensor matter."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("running_var", "norm.weight", "norm1.weight", "norm2.weight", "ln_1.weight")):
                tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.5)
            elif tensor.is_floating_point():
                fan = math.prod(tensor.shape[1:]) if tensor.ndim > 1 else 4
                tensor.copy_(torch.randn(tensor.shape, generator=draw) * (2 / max(1, fan)) ** 0.5)
    return network.eval()


@dataclass(frozen=True)
class Genuine:
    """A file's tree, whose it is, and the original network's own computation of its levels and final features."""

    tree: Any
    family: str
    levels: Levels
    features: Callable[[Tensor], Tensor]
    sizes: tuple[tuple[int, int], ...] = ((64, 64), (96, 64))
    suffix: str = ".pth"
    options: Mapping[str, Any] | None = None

    def write(self, folder: Path) -> Path:
        """Write the file."""
        path = folder / f"file{self.suffix}"
        if self.suffix == ".safetensors":
            save_file(self.tree, path)
        else:
            torch.save(self.tree, path)
        return path


def resnet_levels(network: Any) -> Levels:
    def levels(images: Tensor) -> list[Tensor]:
        x = network.conv1(images)
        x = network.maxpool(torch.relu(network.bn1(x)))
        maps = []
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            x = stage(x)
            maps.append(x)
        return maps

    return levels


def small_resnet(block: Any = BasicBlock, **options: Any) -> Any:
    return randomised(ResNet(block, [1, 1, 1, 1], num_classes=7, **options))


def genuine_resnet(
    tree: Any, network: Any, family: str, options: Mapping[str, Any] | None = None, suffix: str = ".pth"
) -> Genuine:
    levels = resnet_levels(network)
    return Genuine(tree, family, levels, lambda x: levels(x)[-1], options=options, suffix=suffix)


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def without(head: str, state: Mapping[str, Tensor]) -> State:
    return {name: tensor for name, tensor in state.items() if not name.startswith(head)}


# --- torchvision


def tv_root() -> Genuine:
    network = randomised(torchvision.models.resnet18())
    return genuine_resnet(network.state_dict(), network, "torchvision")


def tv_resnet50() -> Genuine:
    network = randomised(torchvision.models.resnet50())
    return genuine_resnet(network.state_dict(), network, "torchvision")


def tv_legacy() -> Genuine:
    network = small_resnet(Bottleneck)
    state = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    return genuine_resnet(state, network, "torchvision")


def tv_references() -> Genuine:
    network = small_resnet(Bottleneck, groups=4, width_per_group=16)
    average = {"n_averaged": torch.tensor(5), **prefixed("module.", network.state_dict())}
    args = argparse.Namespace(model="unnamed", lr=0.1)
    tree = {"model": network.state_dict(), "optimizer": {}, "lr_scheduler": {}, "epoch": 3, "args": args}
    return genuine_resnet({**tree, "model_ema": average}, network, "torchvision")


def tv_ema() -> Genuine:
    network, other = small_resnet(), randomised(ResNet(BasicBlock, [1, 1, 1, 1], num_classes=7), seed=9)
    average = {"n_averaged": torch.tensor(5), **prefixed("module.", network.state_dict())}
    tree = {"model": other.state_dict(), "model_ema": average, "lr_scheduler": {}, "args": argparse.Namespace()}
    return genuine_resnet(tree, network, "torchvision", {"which": "ema"})


def tv_vit(old_names: bool = False) -> Genuine:
    network = randomised(torchvision.models.VisionTransformer(64, 16, 4, 2, 128, 256))
    state = network.state_dict()
    if old_names:
        pairs = (("mlp.0.", "mlp.linear_1."), ("mlp.3.", "mlp.linear_2."))
        state = {n.replace(*pairs[0]).replace(*pairs[1]): t for n, t in state.items()}

    def tokens(images: Tensor) -> list[Tensor]:
        x = network._process_input(images)
        x = torch.cat([network.class_token.expand(len(x), -1, -1), x], dim=1) + network.encoder.pos_embedding
        outputs = []
        for layer in network.encoder.layers:
            x = layer(x)
            outputs.append(x)
        return outputs

    def levels(images: Tensor) -> list[Tensor]:
        grid = [side // 16 for side in images.shape[-2:]]
        return [x[:, 1:].transpose(1, 2).unflatten(2, grid) for x in tokens(images)]

    return Genuine(state, "torchvision", levels, lambda x: network.encoder.ln(tokens(x)[-1]), sizes=((64, 64),))


def tv_swin() -> Genuine:
    network = randomised(torchvision.models.SwinTransformer([4, 4], 32, [2, 2, 2, 2], [1, 2, 4, 8], [7, 7]))

    def levels(images: Tensor) -> list[Tensor]:
        maps, x = [], images
        for index, layer in enumerate(network.features):
            x = layer(x)
            if index % 2:
                maps.append(x.permute(0, 3, 1, 2))
        return maps

    sizes = ((224, 224), (96, 160), (64, 64), (288, 64))
    return Genuine(
        network.state_dict(), "torchvision", levels, lambda x: network.norm(network.features(x)), sizes=sizes
    )


# --- timm


def timm_levels(network: Any) -> Levels:
    def levels(images: Tensor) -> list[Tensor]:
        return list(network.forward_intermediates(images, intermediates_only=True))[-4:]

    return levels


def genuine_timm(
    network: Any, tree: Any = None, sizes: Any = ((64, 64), (96, 64)), suffix: str = ".pth", family: str = "timm"
) -> Genuine:
    randomised(network)
    tree = network.state_dict() if tree is None else tree(network.state_dict())
    return Genuine(tree, family, timm_levels(network), network.forward_features, sizes=sizes, suffix=suffix)


def small_vit(**options: Any) -> VisionTransformer:
    size = {"img_size": 64, "patch_size": 16, "embed_dim": 64, "depth": 4, "num_heads": 1, "num_classes": 7}
    return VisionTransformer(**{**size, "dynamic_img_size": True, **options})


def timm_vit() -> Genuine:
    return genuine_timm(small_vit())


def timm_safetensors() -> Genuine:
    return genuine_timm(small_vit(num_classes=0), suffix=".safetensors")


def timm_registers() -> Genuine:
    network = small_vit(num_classes=0, reg_tokens=4, no_embed_class=True, init_values=0.1)
    return genuine_timm(network, suffix=".safetensors")


def timm_swiglu() -> Genuine:
    return genuine_timm(small_vit(mlp_layer=timm.layers.SwiGLUPacked, act_layer=nn.SiLU, mlp_ratio=5.375))


def timm_distilled() -> Genuine:
    network = timm.create_model(
        "deit_tiny_distilled_patch16_224", img_size=64, depth=4, embed_dim=64, num_heads=1, num_classes=7
    )
    return genuine_timm(network, lambda state: {"model": state}, sizes=((64, 64),))


def timm_training() -> Genuine:
    def tree(state: State) -> Any:
        wrapped = prefixed("_orig_mod.module.", state)
        args = argparse.Namespace(model="unnamed", mean=None, std=None)
        return {
            "epoch": 1, "arch": "unnamed", "state_dict": wrapped, "optimizer": {}, "version": 2, "args": args,
            "state_dict_ema": prefixed("module.", state), "metric": 71.5,
        }  # fmt: skip

    return genuine_timm(small_vit(), tree)


def timm_resnet_d() -> Genuine:
    return genuine_timm(timm.create_model("resnet18d", num_classes=7), suffix=".safetensors")


def small_swin() -> Any:
    return timm.create_model(
        "swin_tiny_patch4_window7_224", embed_dim=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), num_classes=7,
        strict_img_size=False,
    )  # fmt: skip


def timm_swin() -> Genuine:
    return genuine_timm(small_swin(), sizes=((224, 224), (96, 160)))


def old_swin(state: State) -> State:
    """Names and buffers of timm < 0.8."""
    names = {}
    for name, tensor in state.items():
        for stage in (1, 2, 3):
            name = name.replace(f"layers.{stage}.downsample.", f"layers.{stage - 1}.DOWNSAMPLE.")
        names[name.replace("DOWNSAMPLE", "downsample").replace("head.fc.", "head.")] = tensor
    names["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    names["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.long)
    return names


def timm_old_swin() -> Genuine:
    return genuine_timm(small_swin(), lambda state: {"model": old_swin(state)}, sizes=((224, 224),))


# --- DINO


class PaperViT:
    """A vision transformer written from Dosovitskiy et al. (2021), with DINO's names and position interpolation."""

    def __init__(self, state: Mapping[str, Tensor], heads: int, patch: int) -> None:
        self.state, self.heads, self.patch = state, heads, patch

    def tokens(self, images: Tensor) -> list[Tensor]:
        """Tokens after each block."""
        s, p = self.state, self.patch
        patches = images.unfold(2, p, p).unfold(3, p, p)  # B, 3, h, w, p, p
        kernel = s["patch_embed.proj.weight"]
        x = torch.einsum("bchwyx,dcyx->bhwd", patches, kernel) + s["patch_embed.proj.bias"]
        x = x.flatten(1, 2)
        x = torch.cat([s["cls_token"].expand(len(x), -1, -1), x], dim=1)
        x = x + self.positions(images.shape[2] // p, images.shape[3] // p)
        outputs = []
        for index in range(1 + max(int(name.split(".")[1]) for name in s if name.startswith("blocks."))):
            x = self.block(x, f"blocks.{index}.")
            outputs.append(x)
        return outputs

    def block(self, x: Tensor, name: str) -> Tensor:
        x = x + self.attention(self.norm(x, f"{name}norm1"), f"{name}attn.")
        hidden = gelu(self.linear(self.norm(x, f"{name}norm2"), f"{name}mlp.fc1"))
        return x + self.linear(hidden, f"{name}mlp.fc2")

    def attention(self, x: Tensor, name: str) -> Tensor:
        batch, count, width = x.shape
        q, k, v = self.linear(x, f"{name}qkv").reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = softmax(q @ k.mT * (width // self.heads) ** -0.5, dim=-1)
        return self.linear((weights @ v).transpose(1, 2).reshape(batch, count, width), f"{name}proj")

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def norm(self, x: Tensor, name: str) -> Tensor:
        return layer_norm(x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"], eps=1e-6)

    def positions(self, height: int, width: int) -> Tensor:
        table = self.state["pos_embed"]
        side = math.isqrt(table.shape[1] - 1)
        if (height, width) == (side, side):
            return table
        grid = table[0, 1:].reshape(side, side, -1)
        grid = torch.einsum("yY,xX,YXd->yxd", cubic(side, height), cubic(side, width), grid)
        return torch.cat([table[:, :1], grid.reshape(1, height * width, -1)], dim=1)

    def levels(self, images: Tensor) -> list[Tensor]:
        tokens = self.tokens(images)
        grid = [side // self.patch for side in images.shape[2:]]
        ends = [math.ceil(len(tokens) * quarter / 4) - 1 for quarter in (1, 2, 3, 4)]
        return [tokens[end][:, 1:].transpose(1, 2).unflatten(2, grid) for end in ends]

    def features(self, images: Tensor) -> Tensor:
        return self.norm(self.tokens(images)[-1], "norm")


def cubic(old: int, new: int) -> Tensor:
    """Keys' cubic convolution (a = -0.75) by the factor (new + 0.1) / old, borders repeated: (new, old) weights."""
    weights = torch.zeros(new, old)
    for row in range(new):
        position = (row + 0.5) * old / (new + 0.1) - 0.5
        first = math.floor(position)
        for column in range(first - 1, first + 3):
            distance = abs(position - column)
            if distance <= 1:
                weight = 1.25 * distance**3 - 2.25 * distance**2 + 1
            else:
                weight = -0.75 * (distance**3 - 5 * distance**2 + 8 * distance - 4)
            weights[row, min(max(column, 0), old - 1)] += weight
    return weights


def genuine_dino_vit(tree: Callable[[State], Any], **options: Any) -> Genuine:
    state = without("head", randomised(small_vit(embed_dim=128, num_heads=2, **options)).state_dict())
    vit = PaperViT(state, heads=2, patch=options.get("patch_size", 16))
    return Genuine(tree(state), "dino", vit.levels, vit.features, sizes=((64, 64), (96, 64), (48, 80)))


def dino_tree(teacher: State, student: State, args: Mapping[str, Any]) -> Any:
    head = {"mlp.0.weight": torch.randn(8, 8), "last_layer.weight_g": torch.ones(8, 1)}
    wrapped = "module." if any(name.startswith("bn1") for name in teacher) else ""
    return {
        "student": prefixed("module.backbone.", student) | prefixed("module.head.", head),
        "teacher": prefixed(f"{wrapped}backbone.", teacher) | prefixed(f"{wrapped}head.", head),
        "optimizer": {"state": {}, "param_groups": []},
        "epoch": 100,
        "args": argparse.Namespace(**args),
        "dino_loss": {"center": torch.zeros(1, 8)},
        "fp16_scaler": {"scale": 1.0},
    }


def noisy(state: State) -> State:
    return {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def dino_full_vit() -> Genuine:
    args = {"arch": "vit_unnamed", "patch_size": 16}
    return genuine_dino_vit(lambda state: dino_tree(state, noisy(state), args))


def dino_student() -> Genuine:
    genuine = genuine_dino_vit(lambda state: dino_tree(noisy(state), state, {"arch": "unnamed"}))
    return Genuine(
        genuine.tree, "dino", genuine.levels, genuine.features, sizes=genuine.sizes, options={"which": "student"}
    )


def dino_backbone_vit() -> Genuine:
    return genuine_dino_vit(lambda state: state, patch_size=8, depth=6, img_size=32)


def dino_full_resnet() -> Genuine:
    network = small_resnet(Bottleneck)
    state = without("fc.", network.state_dict())
    return genuine_resnet(dino_tree(state, noisy(state), {"arch": "unnamed"}), network, "dino")


def dino_backbone_resnet() -> Genuine:
    network = small_resnet(Bottleneck)
    return genuine_resnet(without("fc.", network.state_dict()), network, "dino")


# --- MoCo


def moco_tree(query: State, key: State, version: int) -> Any:
    head = {"fc.weight": torch.randn(4, 4), "fc.bias": torch.zeros(4)}
    if version == 2:
        head = {f"fc.{layer}.{kind}": tensor for layer in (0, 2) for kind, tensor in
                (("weight", torch.randn(4, 4)), ("bias", torch.zeros(4)))}  # fmt: skip
    state = prefixed("module.encoder_q.", query | head) | prefixed("module.encoder_k.", key | head)
    state |= {"module.queue": torch.randn(4, 16), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    return {"epoch": 200, "arch": "unnamed", "state_dict": state, "optimizer": {}}


def genuine_moco(version: int, which: str | None = None) -> Genuine:
    network = small_resnet(Bottleneck)
    state = without("fc.", network.state_dict())
    pair = (noisy(state), state) if which == "key" else (state, noisy(state))
    tree = moco_tree(*pair, version)
    return genuine_resnet(tree, network, "moco", {"which": which} if which else None, suffix=".pth.tar")


# --- formula-driven


def fractaldb_resnet() -> Genuine:
    network = small_resnet()
    tree = {"epoch": 90, "state_dict": network.state_dict(), "optimizer": {}, "scheduler": {"last_epoch": 90}}
    return genuine_resnet(tree, network, "fdsl", suffix=".pth.tar")


def fractaldb_raw() -> Genuine:
    network = small_resnet()
    return genuine_resnet(network.state_dict(), network, "fdsl", {"family": "fractaldb"})


def fractaldb_vit() -> Genuine:
    def tree(state: State) -> Any:
        return {"model": state, "optimizer": {}, "lr_scheduler": {}, "scaler": {}, "epoch": 1}

    return genuine_timm(small_vit(), tree, family="fdsl")


def visualatom_swin() -> Genuine:
    def tree(state: State) -> Any:
        args = argparse.Namespace(model="unnamed", experiment="VisualAtom1k")
        return {"epoch": 1, "arch": "unnamed", "state_dict": old_swin(state), "version": 2, "args": args}

    return genuine_timm(small_swin(), tree, sizes=((224, 224),), family="fdsl")


def rcdb_own() -> Genuine:
    network = small_resnet()
    contract = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "range": "0-1", "channel_order": "RGB"}
    tree = {
        "epoch": 3, "arch": "unnamed", "state_dict": network.state_dict(), "optimizer": {}, "scheduler": {}, "step": 9,
        "input": contract, "pretraining": {"method": "rcdb"},
    }  # fmt: skip
    return genuine_resnet(tree, network, "fdsl")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "torchvision: resnet18": tv_root,
    "torchvision: resnet50": tv_resnet50,
    "torchvision: without batch counters": tv_legacy,
    "torchvision: references": tv_references,
    "torchvision: references, average": tv_ema,
    "torchvision: vit": tv_vit,
    "torchvision: vit, old names": lambda: tv_vit(old_names=True),
    "torchvision: swin": tv_swin,
    "timm: vit": timm_vit,
    "timm: safetensors": timm_safetensors,
    "timm: registers": timm_registers,
    "timm: swiglu": timm_swiglu,
    "timm: distilled": timm_distilled,
    "timm: training": timm_training,
    "timm: resnet-d": timm_resnet_d,
    "timm: swin": timm_swin,
    "timm: old swin": timm_old_swin,
    "dino: full vit": dino_full_vit,
    "dino: student": dino_student,
    "dino: vit backbone": dino_backbone_vit,
    "dino: full resnet": dino_full_resnet,
    "dino: resnet backbone": dino_backbone_resnet,
    "moco: v1": lambda: genuine_moco(1),
    "moco: v2": lambda: genuine_moco(2),
    "moco: key": lambda: genuine_moco(2, "key"),
    "fdsl: fractaldb resnet": fractaldb_resnet,
    "fdsl: fractaldb raw": fractaldb_raw,
    "fdsl: fractaldb vit": fractaldb_vit,
    "fdsl: visualatom swin": visualatom_swin,
    "fdsl: own rcdb": rcdb_own,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "layout" in metafunc.fixturenames:
        metafunc.parametrize("layout", list(LAYOUTS), indirect=True)


@pytest.fixture
def layout(request: pytest.FixtureRequest) -> Genuine:
    """Each genuine layout in turn."""
    return LAYOUTS[request.param]()


@pytest.fixture(scope="session")
def layouts() -> Mapping[str, Callable[[], Genuine]]:
    """Name → builder of a genuine layout; names begin with the family's."""
    return LAYOUTS
