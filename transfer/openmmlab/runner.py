"""Training and prediction with mmengine's Runner, from a composed config to a file."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import barrier, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner, set_random_seed

from transfer.files.atomic import write_json
from transfer.openmmlab.backbone import apply_norm_policies
from transfer.openmmlab.compose import for_processes
from transfer.openmmlab.hooks import LossLog, TrainState, save_model, unwrap
from transfer.openmmlab.stack import import_stack, quiet
from transfer.openmmlab.tasks import task_type


def train(
    config: Config,
    folder: Path,
    title: str,
    save_seconds: float = 120.0,
    environment: Mapping[str, Any] = MappingProxyType({}),
    hooks: Sequence[Hook] = (),
) -> None:
    """Fine-tune and write `folder/model.pth`; goes on from `folder/train_state.pth` if there is one.

    `folder/losses.jsonl` gets the loss curve, `folder/fit.json` the seconds over all attempts, the images seen
    and `environment`. The first process writes. Raises StageFailed when the loss diverges.
    """
    state = TrainState(folder / "train_state.pth", save_seconds)
    runner = _runner(config, folder, training=True)
    for hook in (state, LossLog(title, folder / "losses.jsonl"), *hooks):
        runner.register_hook(hook)
    runner.train()
    if is_main_process():
        images = config.train_cfg.max_iters * config.task.images_per_step
        cost = {"seconds": round(state.seconds_spent(), 1), "images": images}
        write_json(folder / "fit.json", {**cost, "environment": dict(environment)})
        save_model(runner, folder / "model.pth", runner.iter)
        state.path.unlink(missing_ok=True)
    barrier()


def predict(config: Config, folder: Path, output: Path) -> None:
    """Write the predictions of `folder/model.pth` on the test images to `output` (a JSON file, or a folder of PNGs)."""
    runner = _runner(config, folder, training=False, evaluator=_writer(config, folder, output))
    weights = torch.load(folder / "model.pth", map_location="cpu", weights_only=True)["state_dict"]
    unwrap(runner.model).load_state_dict(weights, strict=True)
    runner.test()
    barrier()


def _writer(config: Config, folder: Path, output: Path) -> dict[str, Any]:
    """What a head does between predictions and their file stands under `writer`."""
    gather = {"collect_device": "cpu", "collect_dir": str(folder / ".gather")}
    return {**task_type(config.task.name).writer(config), "output": str(output), **config.get("writer", {}), **gather}


def _runner(config: Config, folder: Path, *, training: bool, evaluator: Mapping[str, Any] | None = None) -> Runner:
    """mmengine's Runner without its console, checkpoint and resume behaviour, which hooks of ours replace."""
    processes = get_world_size()
    config = for_processes(config, processes)
    import_stack()
    init_default_scope(config.default_scope)
    set_random_seed(config.seed)
    with quiet():
        model = apply_norm_policies(MODELS.build(config.model), processes)
    phase = (
        {key: config[key] for key in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler")}
        if training
        else {"test_dataloader": config.test_dataloader, "test_cfg": {}, "test_evaluator": dict(evaluator or {})}
    )
    return Runner(
        model=model,
        work_dir=str(folder / ".mmengine"),
        default_scope=config.default_scope,
        launcher="pytorch" if processes > 1 else "none",
        randomness={"seed": config.seed},
        default_hooks={name: None for name in ("logger", "timer", "checkpoint")},
        log_level=logging.WARNING,
        experiment_name=f"{folder.name}-{'train' if training else 'test'}-{id(model)}",
        cfg=Config({"model_wrapper_cfg": _wrapper()}),
        **phase,
    )


def _wrapper() -> dict[str, Any]:
    """As mmengine wraps by default, but without the device number that torch refuses for a model on the CPU."""
    wrapper = {"type": "MMDistributedDataParallel", "broadcast_buffers": False}
    return wrapper if torch.cuda.is_available() else {**wrapper, "device_ids": None}
