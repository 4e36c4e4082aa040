from __future__ import annotations

import subprocess
from typing import Any

import pytest
from mmengine.config import Config

from tests.openmmlab.conftest import composed_of
from transfer.errors import UnsafeConfig
from transfer.openmmlab.allowed import NAMES, NAMING, PATHS, SHIPPED, WORDS, Vocabulary, check_texts, vocabulary_of

EVIL = {"type": "subprocess.Popen", "args": ["true"]}


def keys_of_texts(node: Any, key: str = "") -> set[str]:
    """Keys under which texts stand, but for names of classes and what describes the network."""
    if isinstance(node, dict):
        inside = ((name, value) for name, value in node.items() if name not in ("classes", "spec"))
        return set().union(*(keys_of_texts(value, name) for name, value in inside))
    if isinstance(node, list | tuple):
        return set().union(*(keys_of_texts(value, key) for value in node))
    return {key} if isinstance(node, str) else set()


def test_the_lists_are_what_shipped_heads_use(composed: dict[str, Config]) -> None:
    configs = [config.to_dict() for config in composed.values()]
    used = frozenset().union(*(vocabulary_of(config).names for config in configs))
    assert sorted(used - NAMES) == [] and sorted(NAMES - used) == []
    keys = frozenset().union(*map(keys_of_texts, configs)) - {*NAMING, "default_scope"}
    assert sorted(keys - WORDS - PATHS) == [] and sorted((WORDS | PATHS) - keys) == []


def test_every_shipped_config_may_be_built(composed: dict[str, Config]) -> None:
    for name, config in composed.items():
        check_texts(config.to_dict(), name)


CHANGES: dict[str, Any] = {
    # names
    "model": EVIL,
    "model.neck": EVIL,
    "model.type": "mmdet.FasterRCNN",
    "model.neck.type": "transfer.cli.main",
    "model.backbone.type": subprocess.Popen,
    "model.backbone.spec": {"kind": EVIL},
    "model.rpn_head.type": ["RPNHead"],
    "model.rpn_head.loss_cls.type": None,
    "model.roi_head.type": {"type": "StandardRoIHead"},
    "model.test_cfg.rpn.nms.type": "__import__('os').system('true')",
    "optim_wrapper.constructor": "subprocess.Popen",
    "optim_wrapper.type": "AmpOptimWrapper",
    "train_dataloader.dataset.dataset.pipeline": [{"type": "RandomChoice", "transforms": [[EVIL]]}],
    "param_scheduler": ({"odd": [EVIL]},),
    # scopes and imports
    "default_scope": "antigravity",
    "model.neck._scope_": "antigravity",
    "custom_imports": {"imports": ["antigravity"]},
    "custom_hooks": [EVIL],
    # weights of elsewhere
    "model.init_cfg": {"checkpoint": "/tmp/x.pth"},
    "model.backbone.init_cfg": {"type": "Pretrained", "checkpoint": "https://example.org/x.pth"},
    "model.pretrained": "torchvision://resnet50",
    "load_from": "/tmp/x.pth",
    "model.backbone.weights": "https://example.org/x.safetensors",
    # files
    "test_dataloader.dataset.dataset.ann_file": "http://example.org/truth.json",
    "test_dataloader.dataset.dataset.data_prefix": {"img": "s3://bucket"},
    "train_dataloader.dataset.dataset.ann_file": "annotations/truth.json",
    "train_dataloader.dataset.dataset.data_root": "/tmp",
    "test_dataloader.dataset.dataset.metainfo": {"from_file": "/tmp/x.py"},
    "test_dataloader.dataset.dataset.metainfo.classes": "/tmp/classes.txt",
    "train_dataloader.dataset.dataset.metainfo.classes": ["a", {"type": "x"}],
    "test_dataloader.dataset.dataset.backend_args": {"backend": "http"},
    "test_dataloader.dataset.dataset.img_suffix": "/../x://y",
    "writer": {"output": "/tmp/x.json"},
    # functions
    "test_dataloader.collate_fn": "os.system",
    "test_dataloader.worker_init_fn": {"type": "os.system"},
    "model.neck.act_cfg": "os.system",
    "seed": 0j,
}


@pytest.mark.parametrize("key", CHANGES)
def test_nothing_else_is_built(key: str) -> None:
    config = composed_of("faster_rcnn_fpn/mini", "resnet18").to_dict()
    *parents, last = key.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[last] = CHANGES[key]
    with pytest.raises(UnsafeConfig, match=r"^here: .*Nothing was built") as caught:
        check_texts(config, "here")
    assert key in str(caught.value)


def test_the_nearest_name_is_told() -> None:
    with pytest.raises(UnsafeConfig, match=r"model\.neck\.type is 'FPM', .*Did you mean .*FPN"):
        check_texts({"model": {"neck": {"type": "FPM"}}}, "here")


def test_names_of_a_head_of_ones_own_are_added() -> None:
    head = {"model": {"neck": {"type": "MyNeck", "padding_mode": "zeros"}, "backbone": {"weights": "/x"}}}
    assert vocabulary_of(head) == Vocabulary(frozenset({"MyNeck"}), frozenset({"padding_mode"}))
    check_texts(head, "here", SHIPPED | vocabulary_of(head))
    head["model"]["neck"]["padding_mode"] = "https://example.org"
    with pytest.raises(UnsafeConfig, match="nothing is fetched"):
        check_texts(head, "here", SHIPPED | vocabulary_of(head))
