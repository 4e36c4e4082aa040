"""Compare what two versions of this package would train: configs, networks, scores of every shipped suite.

    python tools/compare_protocols.py dump OUT.json                      # with the code of each version
    python tools/compare_protocols.py compare OLD.json NEW.json [--renames tools/compare_protocols.toml]

Data stand for themselves: a placeholder path and three classes. A network is written as its digest: its modules, and
names, shapes and tuned or frozen of its tensors. Networks that a head refuses are written as the error's class.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

BACKBONES = ("resnet18", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_tiny")

FORMER = {"trunk": "network"}
"""What parts of networks were called → what they are called now."""


def dump() -> dict[str, Any]:
    """Return suite/task/backbone → resolved config, digest of the network, and how it is scored."""
    from transfer.files.places import load_suites
    from transfer.openmmlab.stack import import_stack

    import_stack()
    digests: dict[str, str] = {}
    return {
        f"{suite.name}/{task.name}/{arch}": _entry(task, arch, digests)
        for suite in load_suites()
        for task in suite.tasks
        for arch in BACKBONES
    }


def _entry(task: Any, arch: str, digests: dict[str, str]) -> dict[str, Any]:
    from transfer.errors import TransferError
    from transfer.stages.score import METRIC_VERSION

    scored = {"kind": task.kind, "scores": task.scores, "version": METRIC_VERSION[task.kind], "title": task.title}
    try:
        config = composed(task, arch)
    except TransferError as error:
        return _encoded({**scored, "refused": type(error).__name__})
    model = json.dumps(_encoded(config.model.to_dict()), sort_keys=True)
    if model not in digests:
        digests[model] = _digest(config.model, config.default_scope)
    return _encoded({**scored, "config": config.to_dict(), "network": digests[model]})


def composed(task: Any, arch: str) -> Any:
    """Return the config of a suite's task on a randomly initialised network and placeholder data."""
    from transfer.backbones.architectures import spec_of
    from transfer.datasets.layouts import Split
    from transfer.files.places import head_path
    from transfer.openmmlab.compose import compose
    from transfer.openmmlab.head_files import load_head
    from transfer.openmmlab.tasks.task_type import Classes
    from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

    suffix = ".png" if task.dataset == "camvid" else ".jpg"
    split = Split(Path("images"), Path("annotations"), image_suffix=suffix)
    return compose(
        load_head(head_path(task.head)).config(task.size, task.arguments),
        backbone=spec_of(arch),
        contract=InputContract(IMAGENET_MEAN, IMAGENET_STD),
        weights=None,
        train=split,
        test=split,
        classes=Classes(("ball", "box", "person"), (3, 5, 9)),
        seed=0,
    )


def _digest(model: Any, scope: str) -> str:
    import torch
    from mmengine.registry import MODELS, init_default_scope

    from transfer.openmmlab.backbone import apply_norm_policies
    from transfer.openmmlab.stack import quiet

    init_default_scope(scope)
    with quiet(), torch.device("meta"):
        built = apply_norm_policies(MODELS.build(model), 1)
    tuned = {name for name, weight in built.named_parameters() if weight.requires_grad}
    tensors = [[name, list(value.shape), name in tuned] for name, value in built.state_dict().items()]
    text = json.dumps([str(built), tensors])
    for former, name in FORMER.items():
        text = text.replace(former, name)
    return hashlib.sha256(text.encode()).hexdigest()


def _encoded(value: Any) -> Any:
    """Return `value` for JSON, where tuples stay apart from lists."""
    if isinstance(value, Mapping):
        return {key: _encoded(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return {"tuple": [_encoded(item) for item in value]}
    return [_encoded(item) for item in value] if isinstance(value, list) else value


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], renames: Mapping[str, str], added: Sequence[str] = ()
) -> Iterator[str]:
    """Yield a line for each value that differs.

    `renames` maps old keys to new ones, or to "" where they went; keys that were `added` say nothing that is new.
    """
    before = dict(_leaves(old, renames))
    after = dict(_leaves(new, dict.fromkeys(added, "")))
    for key in sorted(before.keys() | after.keys()):
        if before.get(key, "nothing") != after.get(key, "nothing"):
            yield f"{key}: {before.get(key, 'nothing')} -> {after.get(key, 'nothing')}"


def _leaves(node: Any, renames: Mapping[str, str], names: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield path and value of what is no mapping; keys of `renames` are paths below suite/task/backbone."""
    path = ".".join(names[1:])
    if path in renames:
        if not renames[path]:
            return
        names = (names[0], *renames[path].split("."))
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _leaves(value, renames, (*names, key))
    else:
        yield ".".join(names), json.dumps(_whole(node))


def _whole(value: Any) -> Any:
    """Return numbers such as 2.0 as 2: a config means the same by both."""
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def main() -> int:
    """Run `dump` or `compare`; the latter ends with status 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("dump").add_argument("out", type=Path)
    comparing = verbs.add_parser("compare")
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    comparing.add_argument("--renames", type=Path)
    options = parser.parse_args()
    if options.verb == "dump":
        options.out.write_text(json.dumps(dump(), sort_keys=True), encoding="utf-8")
        return 0
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (options.old, options.new))
    table = tomllib.loads(options.renames.read_text(encoding="utf-8")) if options.renames else {}
    found = list(differences(old, new, table.get("renames", {}), table.get("added", ())))
    print("\n".join(found) or f"{len(old)} tasks on networks: no difference")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
