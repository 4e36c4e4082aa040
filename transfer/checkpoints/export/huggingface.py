"""Export to Hugging Face transformers: a folder that `from_pretrained` loads without missing or unexpected names.

Names are those that `save_pretrained` writes, which every version of transformers reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from transfer.checkpoints.export.files import write_folder
from transfer.checkpoints.export.huggingface_transformers import Pretrained, beit, swin, vit
from transfer.checkpoints.export.library import ConvertedBackbone, Export, Library, initial_norm, named
from transfer.checkpoints.export.properties import fitting, limits
from transfer.checkpoints.export.statistics import scaled_range_note, seeing_rgb, unit_statistics
from transfer.checkpoints.keys.rules import Apply, Rename, Reshape, Rule
from transfer.schemas.checkpoint import InputContract

SIDE = 224


def _export(
    convert: Callable[[ConvertedBackbone], tuple[ConvertedBackbone, Pretrained]],
    backbone: ConvertedBackbone,
    output: Path,
) -> Export:
    backbone, network = convert(seeing_rgb(backbone.noting(*scaled_range_note(backbone.input))))
    config = {"architectures": [network.model], "torch_dtype": "float32", **network.config}
    image = network.config.get("image_size", SIDE)
    files = {"config.json": config, "preprocessor_config.json": _preprocessor(backbone.input, image)}
    return Export(backbone.values, _snippet(network, output), backbone.notes, files)


def _preprocessor(contract: InputContract, image: Any) -> dict[str, Any]:
    mean, std = unit_statistics(contract)
    height, width = image if isinstance(image, list) else (image, image)
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": height, "width": width},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(mean),
        "image_std": list(std),
    }


def _snippet(network: Pretrained, output: Path) -> str:
    arguments = "".join(f", {name}={value!r}" for name, value in network.arguments.items())
    return f"""\
from transformers import AutoImageProcessor, {network.model}

model, report = {network.model}.from_pretrained({str(output)!r}{arguments}, output_loading_info=True)
assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
processor = AutoImageProcessor.from_pretrained({str(output)!r})"""


RESNET = limits(
    "transformers' ResNetModel",
    "block depths widths stem_width",
    stride_in=("3x3", "1x1"),
    groups=(1,),
    base_width=(64,),
)
RESNET_RULES: tuple[Rule, ...] = (
    Rename(r"conv1\.(.*)", r"embedder.embedder.convolution.\1"),
    Rename(r"bn1\.(.*)", r"embedder.embedder.normalization.\1"),
    *(Rename(rf"layer{stage}\.(\d+)\.(.*)", rf"encoder.stages.{stage - 1}.layers.\1.\2") for stage in (1, 2, 3, 4)),
    *(Rename(rf"(encoder\..*)\.conv{k}\.(.*)", rf"\1.layer.{k - 1}.convolution.\2") for k in (1, 2, 3)),
    *(Rename(rf"(encoder\..*)\.bn{k}\.(.*)", rf"\1.layer.{k - 1}.normalization.\2") for k in (1, 2, 3)),
    Rename(r"(encoder\..*)\.downsample\.0\.(.*)", r"\1.shortcut.convolution.\2"),
    Rename(r"(encoder\..*)\.downsample\.1\.(.*)", r"\1.shortcut.normalization.\2"),
)


def resnet(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, Pretrained]:
    """Convert ResNet, with the stride in either convolution."""
    options = fitting(backbone.spec, RESNET)
    expansion = 1 if options["block"] == "basic" else 4
    config = {
        "model_type": "resnet",
        "num_channels": 3,
        "embedding_size": options["stem_width"],
        "hidden_sizes": [expansion * width for width in options["widths"]],
        "depths": options["depths"],
        "layer_type": options["block"],
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": options["stride_in"] == "1x1",
    }
    return backbone.with_values(named(backbone.values, RESNET_RULES)), Pretrained("ResNetModel", config)


CONVNEXT = limits("transformers' ConvNextModel", "depths widths response_norm layer_scale convolutional_mlp")
CONVNEXT_RULES: tuple[Rule, ...] = (
    Rename(r"stem\.0\.(.*)", r"embeddings.patch_embeddings.\1"),
    Rename(r"stem\.1\.(.*)", r"embeddings.layernorm.\1"),
    Apply(r".*\.mlp\.fc[12]\.weight", lambda kernel: kernel.flatten(1), "1x1 kernels as matrices"),
    Reshape(r".*\.grn\.(weight|bias)", (1, 1, 1, -1)),
    Rename(r"stages\.(\d)\.downsample\.(.*)", r"encoder.stages.\1.downsampling_layer.\2"),
    Rename(r"stages\.(\d)\.blocks\.(.*)", r"encoder.stages.\1.layers.\2"),
    Rename(r"(.*)\.conv_dw\.(.*)", r"\1.dwconv.\2"),
    Rename(r"(.*\.layers\.\d+)\.norm\.(.*)", r"\1.layernorm.\2"),
    Rename(r"(.*)\.mlp\.fc([12])\.(.*)", r"\1.pwconv\2.\3"),
    Rename(r"(.*)\.mlp\.grn\.(.*)", r"\1.grn.\2"),
    Rename(r"(.*)\.gamma", r"\1.layer_scale_parameter"),
)


def convnext(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, Pretrained]:
    """Convert ConvNeXt and ConvNeXt V2."""
    options = fitting(backbone.spec, CONVNEXT, _neither_version(backbone.spec.options))
    second = options["response_norm"]
    config = {
        "model_type": "convnextv2" if second else "convnext",
        "num_channels": 3,
        "patch_size": options["patch"],
        "hidden_sizes": options["widths"],
        "depths": options["depths"],
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "image_size": SIDE,
    }
    if not second:
        config["layer_scale_init_value"] = 1e-6 if options["layer_scale"] else 0.0
    values = named(backbone.values, CONVNEXT_RULES) | initial_norm("layernorm", options["widths"][-1])
    note = "layernorm: a new norm at its initial value, with which the classifier begins"
    return backbone.with_values(values, note), Pretrained("ConvNextV2Model" if second else "ConvNextModel", config)


def _neither_version(options: Mapping[str, Any]) -> list[str]:
    both = options.get("response_norm", False) and options.get("layer_scale", True)
    return ["it has response norms and scaled residuals, where each version has one of them"] if both else []


CONVERTERS = {"resnet": resnet, "convnext": convnext, "vit": vit, "swin": swin, "beit": beit}
HUGGINGFACE = Library(
    "huggingface", {kind: partial(_export, convert) for kind, convert in CONVERTERS.items()}, write_folder
)
