"""What a user's config may say: settings that are honoured or of no consequence, and those that are refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config, ConfigDict

from transfer.errors import BadOption

HARMLESS_HOOKS = ("NumClassCheckHook", "SyncBuffersHook", "IterTimerHook", "LoggerHook", "ParamSchedulerHook",
                  "CheckpointHook", "DistSamplerSeedHook", "DetVisualizationHook", "SegVisualizationHook",
                  "PoseVisualizationHook", "BadCaseAnalysisHook")  # fmt: skip
"""Hooks that log, draw or save, and those whose work is done here by other means."""

REFUSED = {
    "custom_imports": "a head is made of what OpenMMLab and this package register",
    "model_wrapper_cfg": "processes are this program's matter",
    "compile": "compiling is this program's matter",
    "load_from": "the checkpoint is the one that is evaluated",
    "resume": "an interrupted run goes on by itself",
    "find_unused_parameters": "every parameter that trains must get a gradient",
}
"""Settings that would change what is trained, and why they cannot."""

CONSTRUCTORS = ("DefaultOptimWrapperConstructor", "LayerDecay")
SAMPLERS = ("DefaultSampler", "InfiniteSampler", "AspectRatioBatchSampler")


def check_settings(given: Config) -> None:
    """Raise BadOption naming the first setting that cannot be honoured."""
    for key, reason in REFUSED.items():
        if given.get(key):
            raise BadOption(f"{key} cannot be honoured: {reason}. Take it out.")
    for hook in _hooks(given):
        if hook.get("type") not in HARMLESS_HOOKS:
            raise BadOption(f"hook {hook.get('type')} cannot be honoured: it would change the training. Take it out.")
    for key in ("sampler", "batch_sampler"):
        sampler = (given.get("train_dataloader", {}).get(key) or {}).get("type", SAMPLERS[0])
        if sampler not in SAMPLERS:
            raise BadOption(f"train_dataloader.{key} {sampler} cannot be honoured: seed and position decide the order.")
    for path, value in _pretrained(given.get("model", {}), "model"):
        raise BadOption(f"{path} reads weights from {value!r}; only the evaluated checkpoint may. Take it out.")


def check_schedule(given: Config) -> dict[str, Any]:
    """Return number of steps, optimizer and rates. Raises BadOption where they are counted in epochs."""
    loop, wrapper = given.get("train_cfg", {}), given.get("optim_wrapper", {})
    if loop.get("type") != "IterBasedTrainLoop" or not isinstance(loop.get("max_iters"), int):
        raise BadOption(
            f"train_cfg is {loop.get('type')}; how long an epoch is depends on the data. Write steps: "
            "train_cfg = dict(type='IterBasedTrainLoop', max_iters=90_000)."
        )
    _check_optimizer(wrapper)
    found = given.get("param_scheduler", [])
    rates = [_rate(each, loop.max_iters) for each in (found if isinstance(found, list | tuple) else [found])]
    steps = {"type": "IterBasedTrainLoop", "max_iters": loop.max_iters}
    return {"train_cfg": steps, "optim_wrapper": wrapper, "param_scheduler": rates}


def _check_optimizer(wrapper: Mapping[str, Any]) -> None:
    if wrapper.get("type", "OptimWrapper") != "OptimWrapper" or "optimizer" not in wrapper:
        raise BadOption(f"optim_wrapper is {wrapper.get('type')}; expected OptimWrapper with an optimizer.")
    if wrapper.get("accumulative_counts", 1) != 1:
        raise BadOption("optim_wrapper.accumulative_counts cannot be honoured. Say images_per_step, all of them.")
    if wrapper.get("constructor", CONSTRUCTORS[0]) not in CONSTRUCTORS:
        raise BadOption(
            f"optim_wrapper.constructor {wrapper['constructor']} knows the names of other backbones. For rates that "
            "shrink towards the input: constructor='LayerDecay', paramwise_cfg=dict(layer_decay=0.7)."
        )


def _rate(scheduler: ConfigDict, steps: int) -> dict[str, Any]:
    """A scheduler with its beginning and end written down."""
    if scheduler.get("by_epoch", True):
        raise BadOption(f"param_scheduler {scheduler.get('type')} counts epochs. Write by_epoch=False, and steps.")
    return {**scheduler.to_dict(), "begin": scheduler.get("begin", 0), "end": min(scheduler.get("end", steps), steps)}


def _hooks(given: Config) -> Iterator[Mapping[str, Any]]:
    yield from given.get("custom_hooks") or ()
    yield from (hook for hook in (given.get("default_hooks") or {}).values() if hook is not None)


def _pretrained(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield where a model reads weights, its backbone aside, which is replaced."""
    if isinstance(node, Mapping):
        if node.get("type") == "Pretrained":
            yield path, node.get("checkpoint")
        for key, value in node.items():
            if (path, key) != ("model", "backbone"):
                yield from _pretrained(value, f"{path}.{key}")
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _pretrained(value, f"{path}.{index}")
