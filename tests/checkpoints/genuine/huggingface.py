from __future__ import annotations

import contextlib
import io
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.checkpoints.genuine.files import Genuine, Levels, State, randomised

SMALL: Mapping[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64, "image_size": 64,
    "patch_size": 16, "hidden_act": "gelu",
}  # fmt: skip
PREPROCESSOR = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "rescale_factor": 1 / 255}
SIZES = ((64, 64), (96, 64))


@dataclass(frozen=True)
class Saved(Genuine):
    """A folder that save_pretrained wrote, with the network that it was called on."""

    network: Any = None


def in_memory(file: Saved) -> Saved:
    """The names of transformers 5: torch.save(network.state_dict()) next to the config."""
    return replace(file, tree=file.network.state_dict(), suffix=".bin")


def normed(file: Saved, norm: Callable[[Tensor], Tensor]) -> Saved:
    """Return the file with a last norm that transformers applies outside the backbone."""
    return replace(file, features=lambda images: norm(file.features(images)))


@contextlib.contextmanager
def quiet() -> Iterator[Any]:
    """transformers without its progress bars and warnings: it takes seconds to import, so only when it is needed."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers

        transformers.logging.set_verbosity_error()
        yield transformers


def made(model: str, **options: Any) -> Any:
    """Make the network, such as `ViTModel`, with its configuration's options and random weights."""
    with quiet() as transformers:
        kind = getattr(transformers, model)
        network = randomised(kind(kind.config_class(**options)))
        for name, parameter in network.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.data.abs_().add_(0.5)
        return network


def saved(network: Any) -> tuple[State, dict[str, Any]]:
    """Return what save_pretrained writes: tensors and config.json."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        network.save_pretrained(folder)
        return load_file(Path(folder, "model.safetensors")), json.loads(Path(folder, "config.json").read_text())


def genuine(network: Any, levels: Levels, features: Callable[[Tensor], Tensor], **how: Any) -> Saved:
    tree, config = saved(network)
    files = {"config.json": config, "preprocessor_config.json": PREPROCESSOR}
    how = {"sizes": SIZES, **how}
    return Saved(tree, "huggingface", levels, features, suffix=".safetensors", files=files, network=network, **how)


def transformer(network: Any, backbone: Any = None, prefix: int = 1, calls: Mapping[str, Any] | None = None) -> Saved:
    """A transformer whose patch tokens follow `prefix` others."""
    backbone = network if backbone is None else backbone
    patch = backbone.config.patch_size

    def run(images: Tensor) -> Any:
        return backbone(images, output_hidden_states=True, **(calls or {}))

    def levels(images: Tensor) -> list[Tensor]:
        grid = [side // patch for side in images.shape[2:]]
        return [x[:, prefix:].transpose(1, 2).unflatten(2, grid) for x in run(images).hidden_states[1:]]

    return genuine(network, levels, lambda images: run(images).last_hidden_state)


def vit(model: str, backbone: str | None = None, prefix: int = 1, **options: Any) -> Saved:
    network = made(model, **{**SMALL, **options})
    calls = {"interpolate_pos_encoding": True}
    return transformer(network, getattr(network, backbone) if backbone else None, prefix, calls)


def mae() -> Saved:
    sizes = {f"decoder_{key}": value for key, value in SMALL.items() if key != "image_size"}
    network = made("ViTMAEForPreTraining", **SMALL, **sizes, mask_ratio=0.0)

    def run(images: Tensor) -> Any:
        cells = images.shape[2] * images.shape[3] // 256
        noise = torch.arange(cells, dtype=torch.float32).expand(len(images), -1)  # an order that shuffles nothing
        return network.vit(images, noise=noise, interpolate_pos_encoding=True, output_hidden_states=True)

    def levels(images: Tensor) -> list[Tensor]:
        grid = [side // 16 for side in images.shape[2:]]
        return [x[:, 1:].transpose(1, 2).unflatten(2, grid) for x in run(images).hidden_states[1:]]

    return genuine(network, levels, lambda images: run(images).last_hidden_state)


def dinov2(model: str, backbone: str | None = None, registers: int = 0, **options: Any) -> Saved:
    size = {key: value for key, value in SMALL.items() if key != "intermediate_size"}
    network = made(model, **size, layerscale_value=0.5, **options)
    return transformer(network, getattr(network, backbone) if backbone else None, 1 + registers)


def beit(model: str, backbone: str | None = None, **options: Any) -> Saved:
    network = made(model, **SMALL, **options)
    return transformer(network, getattr(network, backbone) if backbone else None)


def masked_beit() -> Saved:
    options = {"use_shared_relative_position_bias": True, "vocab_size": 9, "use_mask_token": True}
    file = beit("BeitForMaskedImageModeling", "beit", **options)
    return normed(file, file.network.layernorm)


def clip(model: str, backbone: str | None = None, **options: Any) -> Saved:
    """transformers norms CLIP's pooled token alone."""
    network = made(model, **options)
    tower = getattr(network, backbone) if backbone else network
    return normed(transformer(network, tower, calls={"interpolate_pos_encoding": True}), tower.post_layernorm)


def siglip() -> Saved:
    network = made("SiglipVisionModel", **{**SMALL, "hidden_act": "gelu_pytorch_tanh"})
    return transformer(network, prefix=0, calls={"interpolate_pos_encoding": True})


def dinov3(**options: Any) -> Saved:
    return transformer(made("DINOv3ViTModel", **{**SMALL, "num_register_tokens": 4, **options}), prefix=5)


def swin(model: str, backbone: str | None = None, **options: Any) -> Saved:
    size = {"embed_dim": 16, "depths": [2, 2, 2, 2], "num_heads": [1, 2, 4, 8], "window_size": 4, "image_size": 128}
    network = made(model, **size, **options)
    tower = getattr(network, backbone) if backbone else network

    def run(images: Tensor) -> Any:
        for layer in (block for stage in tower.encoder.layers for block in stage.blocks):
            layer.window_size = 4  # transformers forgets it at small sizes
        for stage in tower.encoder.layers:
            for index, block in enumerate(stage.blocks):
                block.shift_size = 2 * (index % 2)
        return tower(images, output_hidden_states=True)

    def levels(images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        hooks = [
            stage.blocks[-1].register_forward_hook(lambda _module, args, out: maps.append(_map(out, args)))
            for stage in tower.encoder.layers
        ]
        run(images)
        for hook in hooks:
            hook.remove()
        return maps

    def features(images: Tensor) -> Tensor:
        tokens = run(images).last_hidden_state
        return tokens.unflatten(1, [side // 32 for side in images.shape[2:]])

    return genuine(network, levels, features, sizes=((128, 128), (160, 128), (160, 192)))


def _map(out: Any, args: Any) -> Tensor:
    tokens = out[0] if isinstance(out, tuple) else out
    height, width = args[1]
    return tokens.transpose(1, 2).unflatten(2, (int(height), int(width)))


def convolutional(model: str, backbone: str | None = None, **options: Any) -> Saved:
    network = made(model, **options)
    tower = getattr(network, backbone) if backbone else network

    def levels(images: Tensor) -> list[Tensor]:
        return list(tower(images, output_hidden_states=True).hidden_states[-4:])

    return genuine(network, levels, lambda images: levels(images)[-1])


CONVNEXT = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}
RESNET = {"embedding_size": 16, "hidden_sizes": [32, 64, 96, 128], "depths": [1, 1, 2, 1]}
TEXT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
        "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}  # fmt: skip

LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "huggingface: vit": lambda: vit("ViTModel"),
    "huggingface: vit classifier": lambda: vit("ViTForImageClassification", "vit", hidden_act="gelu_new"),
    "huggingface: vit masked": lambda: vit("ViTForMaskedImageModeling", "vit", qkv_bias=False),
    "huggingface: deit": lambda: vit("DeiTForImageClassificationWithTeacher", "deit", prefix=2),
    "huggingface: mae": mae,
    "huggingface: msn": lambda: vit("ViTMSNModel"),
    "huggingface: ijepa": lambda: vit("IJepaModel", prefix=0),
    "huggingface: dinov2": lambda: dinov2("Dinov2Model"),
    "huggingface: dinov2 gated": lambda: dinov2("Dinov2ForImageClassification", "dinov2", use_swiglu_ffn=True),
    "huggingface: dinov2 registers": lambda: dinov2("Dinov2WithRegistersModel", registers=4),
    "huggingface: dinov3": dinov3,
    "huggingface: dinov3 gated": lambda: dinov3(use_gated_mlp=True, hidden_act="silu"),
    "huggingface: beit": lambda: beit("BeitModel", use_relative_position_bias=True),
    "huggingface: beit masked": masked_beit,
    "huggingface: beit positions": lambda: beit(
        "BeitModel", use_absolute_position_embeddings=True, use_mean_pooling=False
    ),
    "huggingface: data2vec": lambda: beit("Data2VecVisionModel", use_relative_position_bias=True),
    "huggingface: clip": lambda: clip("CLIPVisionModel", **{**SMALL, "hidden_act": "quick_gelu"}),
    "huggingface: clip with text": lambda: clip(
        "CLIPModel", "vision_model", vision_config={**SMALL, "hidden_act": "gelu"}, text_config=TEXT
    ),
    "huggingface: siglip": siglip,
    "huggingface: swin": lambda: swin("SwinModel"),
    "huggingface: swin masked": lambda: swin("SwinForMaskedImageModeling", "swin", qkv_bias=False),
    "huggingface: convnext": lambda: convolutional("ConvNextModel", layer_scale_init_value=0.5, **CONVNEXT),
    "huggingface: convnext v2": lambda: convolutional("ConvNextV2ForImageClassification", "convnextv2", **CONVNEXT),
    "huggingface: resnet": lambda: convolutional("ResNetModel", **RESNET),
    "huggingface: resnet, stride in 1x1": lambda: convolutional(
        "ResNetForImageClassification", "resnet", downsample_in_bottleneck=True, **RESNET
    ),
    "huggingface: vit in memory": lambda: in_memory(vit("ViTForImageClassification", "vit")),
    "huggingface: dinov2 in memory": lambda: in_memory(
        dinov2("Dinov2ForImageClassification", "dinov2", use_swiglu_ffn=True)
    ),
    "huggingface: dinov3 in memory": lambda: in_memory(dinov3()),
    "huggingface: beit in memory": lambda: in_memory(beit("BeitModel", use_relative_position_bias=True)),
    "huggingface: masked beit in memory": lambda: in_memory(masked_beit()),
    "huggingface: swin in memory": lambda: in_memory(swin("SwinModel")),
    "huggingface: resnet basic": lambda: convolutional("ResNetModel", layer_type="basic", **RESNET),
}  # fmt: skip
