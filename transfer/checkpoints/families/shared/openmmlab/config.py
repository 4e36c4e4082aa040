"""Read what the text of a config says about the backbone. It is parsed, never run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from transfer.checkpoints.keys.declared import triple
from transfer.schemas.checkpoint import ChannelOrder, InputContract

TEXTS = ("cfg", "config")
LONGEST = 2_000_000


def config_text(tree: Mapping[Any, Any]) -> str:
    """Return the config in `meta` or in the message hub, empty where there is none."""
    meta, hub = (tree.get(key) for key in ("meta", "message_hub"))
    infos = hub.get("runtime_info") if isinstance(hub, Mapping) else None
    places = [place for place in (meta, infos) if isinstance(place, Mapping)]
    found = (place.get(key) for place in places for key in TEXTS)
    return next((text for text in found if isinstance(text, str) and len(text) <= LONGEST), "")


def dicts_in(text: str) -> list[dict[str, Any]]:
    """Return the literal entries of every `dict(...)` and `{...}` in a config's text, outer ones first."""
    try:
        nodes = ast.walk(ast.parse(text))
        return [dict(_entries(node)) for node in nodes if isinstance(node, (ast.Call, ast.Dict))]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _entries(node: ast.Call | ast.Dict) -> Iterator[tuple[str, Any]]:
    pairs: list[tuple[Any, ast.expr]] = []
    if isinstance(node, ast.Call):
        pairs = [(keyword.arg, keyword.value) for keyword in node.keywords]
    else:
        keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
        pairs = list(zip(keys, node.values, strict=True))
    for key, value in pairs:
        if isinstance(key, str) and isinstance(value, (ast.Call, ast.Dict)):
            yield key, dict(_entries(value))
        elif isinstance(key, str) and isinstance(value, (ast.Constant, ast.List, ast.Tuple, ast.UnaryOp)):
            try:
                yield key, ast.literal_eval(value)
            except ValueError:
                continue


def contract_in(dicts: list[dict[str, Any]]) -> InputContract | None:
    """Return the statistics that images were normalised with: of pixels from 0 to 255 that were read as BGR."""
    for entries in dicts:
        mean, std = triple(entries.get("mean")), triple(entries.get("std"))
        if mean and std:
            converted = entries.get("bgr_to_rgb", entries.get("to_rgb", False))
            order: ChannelOrder = "RGB" if converted else "BGR"
            return InputContract(mean, std, "0-255", order, source="file")
    return None


def backbone_in(dicts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the entries of the backbone's own dict: the first that names a type of backbone."""
    types = ("ResNet", "ResNeXt", "ResNetV1", "SwinTransformer", "VisionTransformer", "BEiT", "ConvNeXt", "MAEViT")
    named = (entries for entries in dicts if isinstance(entries.get("type"), str))
    return next((entries for entries in named if entries["type"].rpartition(".")[2].startswith(types)), {})
