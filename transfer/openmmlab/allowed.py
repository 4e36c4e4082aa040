"""What a config may name: everything else is refused before OpenMMLab sees it.

mmengine's registries import whatever a dotted `type` names, `_scope_` and `default_scope` import packages, `init_cfg`
downloads and unpickles, `metainfo` reads files and runs Python, and mmcv evaluates the `type` of a suppression. All of
these begin with a text. So a text may stand in a config only under a key that is listed here, and a name only if it is
one of NAMES: those that our heads use.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from transfer.errors import UnsafeConfig

# fmt: off
NAMES = frozenset({
    # networks
    "EncoderDecoder", "FasterRCNN", "MaskRCNN", "TopdownPoseEstimator",
    # backbones and necks
    "Feature2Pyramid", "FeatureMapProcessor", "FPN", "LastStage", "SimpleFeaturePyramid", "TransferBackbone",
    # heads
    "ASPPHead", "BBoxHead", "DeepLabASPPLHead", "FCNHead", "FCNMaskHead", "GRMIHead", "HeatmapHead", "LastStageRoIHead",
    "LinearHead", "RPNHead", "Shared2FCBBoxHead", "Shared4Conv1FCBBoxHead", "StandardRoIHead", "UPerHead",
    # parts of heads
    "AnchorGenerator", "BN", "DeltaXYWHBBoxCoder", "HoughVoting", "LN2d", "MaxIoUAssigner", "MSRAHeatmap", "nms",
    "PositionSampler", "RoIAlign", "SingleRoIExtractor", "UDPHeatmap",
    # losses
    "CrossEntropyLoss", "KeypointMSELoss", "L1Loss",
    # data
    "BaseSegDataset", "CocoDataset", "DefaultSampler", "PoseDataPreprocessor", "PositionedDataset",
    "SegDataPreProcessor", "StepDetDataPreprocessor", "StepSampler", "WrappedDataset",
    # pipelines
    "FilterAnnotations", "GenerateTarget", "GetBBoxCenterScale", "LoadAnnotations", "LoadImage", "LoadImageFromFile",
    "PackDetInputs", "PackPoseInputs", "PackSegInputs", "RandomBBoxTransform", "RandomChoice", "RandomChoiceResize",
    "RandomCrop", "RandomFlip", "RandomHalfBody", "RandomResize", "Resize", "TopdownAffine",
    # training
    "Adam", "AdamW", "IterBasedTrainLoop", "LayerDecay", "LinearLR", "MultiStepLR", "OptimWrapper", "PolyLR", "SGD",
})
# fmt: on
"""Registered names that the shipped heads, and what fits them to backbones, use; a test compares both ways."""

NAMING = ("type", "constructor")
"""Keys under which OpenMMLab looks a name up."""

SCOPES = frozenset({"mmdet", "mmseg", "mmpose"})

WORDS = frozenset({
    "crop_type", "data_mode", "direction", "flip_mode", "frozen_stages", "img_suffix", "meta_keys", "mode",
    "name", "norm", "seg_map_suffix",
})  # fmt: skip
"""Keys whose texts are options of a part, or attributes of a sample: nothing is looked up or opened by them."""

PATHS = frozenset({"ann_file", "img", "img_path", "seg_map_path", "weights"})
"""Keys of files and folders of this machine."""

OTHERS = frozenset({"default_scope", "classes", "spec", ""})
"""Keys with rules of their own: one of SCOPES, names of classes, the network as `transfer.backbones` reads it, none."""


@dataclass(frozen=True)
class Vocabulary:
    """What a config may say: registered names, and keys that texts may stand under."""

    names: frozenset[str]
    words: frozenset[str]

    def __or__(self, other: Vocabulary) -> Vocabulary:
        return Vocabulary(self.names | other.names, self.words | other.words)


SHIPPED = Vocabulary(NAMES, WORDS)


def vocabulary_of(config: Mapping[str, Any]) -> Vocabulary:
    """Return what `config` says: for a head file of the user's own, Python that they chose to run."""
    texts = [(key, text) for _, key, text in _texts(config, "", "", inside_spec=False) if isinstance(text, str)]
    ours = {*NAMING, *PATHS, *OTHERS}
    return Vocabulary(
        frozenset(text for key, text in texts if key in NAMING), frozenset(key for key, _ in texts if key not in ours)
    )


def check_texts(config: Mapping[str, Any], source: str, vocabulary: Vocabulary = SHIPPED) -> None:
    """Raise UnsafeConfig where `config` names what is not in `vocabulary`, or holds a text where none belongs.

    `source` says in messages where the config comes from.
    """
    for where, key, text in _texts(config, "", "", inside_spec=False):
        if wrong := _problem(key, text, vocabulary):
            raise UnsafeConfig(f"{source}: {where} is {_shown(text)}, {wrong} Nothing was built.")


def _texts(node: Any, where: str, key: str, *, inside_spec: bool) -> Iterator[tuple[str, str, Any]]:
    """Each text with its place and the key that it stands under; what stands under a naming key whatever it is.

    The names of classes are the data's own and go nowhere: they are texts and nothing else.
    """
    if key in NAMING:
        yield where, key, node
    elif key == "classes":
        if not isinstance(node, list | tuple) or not all(isinstance(name, str) for name in node):
            yield where, key, node
    elif isinstance(node, Mapping):
        for name, value in node.items():
            yield from _texts(value, f"{where}.{name}".lstrip("."), name, inside_spec=inside_spec or name == "spec")
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _texts(value, f"{where}[{index}]", key, inside_spec=inside_spec)
    elif not isinstance(node, str | bool | int | float | None):
        yield where, "", node
    elif isinstance(node, str):
        yield where, "spec" if inside_spec else key, node


def _problem(key: str, text: Any, vocabulary: Vocabulary) -> str:
    """What is wrong with a text under a key, or nothing."""
    if key in NAMING:
        return "" if isinstance(text, str) and text in vocabulary.names else _unknown(text, vocabulary.names)
    if key == "classes":
        return "but classes are a list of names."
    if not isinstance(text, str):
        return "but a config holds numbers, texts, lists and dicts only."
    if key == "default_scope":
        return "" if text in SCOPES else f"but the scope must be one of {', '.join(sorted(SCOPES))}."
    if "://" in text:
        return "but nothing is fetched from an address: files lie on this machine."
    if key in PATHS:
        return "" if text == "" or text.startswith("/") else "but a path must be absolute."
    return "" if key in vocabulary.words or key == "spec" else f"but no head has a text under the key {key!r}."


def _unknown(text: Any, names: frozenset[str]) -> str:
    close = difflib.get_close_matches(text, names, n=2) if isinstance(text, str) else []
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"and no head of this package uses that name.{hint}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}…"
