"""Pre-train on radial contours: from a budget of minutes to an ordinary training checkpoint."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from transfer.errors import BadOption, FingerprintMismatch, UnreadableCheckpoint
from transfer.files.atomic import replacing
from transfer.pretrain.batches import MEAN, STD, Batches
from transfer.pretrain.contours import draw_classes
from transfer.pretrain.interrupts import deferred_interrupts
from transfer.pretrain.training import Training, seconds_per_step, start_training, train

BATCH = 64
SAVE_SECONDS = 20.0

Json = dict[str, Any]


def pretrain_rcdb(
    arch: str,
    output: Path,
    *,
    minutes: float = 2.0,
    seed: int = 0,
    classes: int = 96,
    image_size: int = 64,
) -> None:
    """Train timm's `arch` to tell `classes` contour classes apart for about `minutes`, and write `output`.

    The time of a step is measured first and fixes the number of steps, so that the schedule is complete and a resumed
    run does the same steps. The work so far stands in `<output>.partial`; the same call goes on from it.
    Raises BadOption when `output` exists, FingerprintMismatch when the partial file belongs to other options.
    """
    if not minutes > 0:
        raise BadOption(f"minutes must be positive, not {minutes}.")
    _pretrain({"arch": arch, "classes": classes, "image_size": image_size, "seed": seed, "minutes": minutes}, output)


def pretrain_steps(arch: str, output: Path, *, steps: int, seed: int, classes: int, image_size: int) -> None:
    """Pre-train as `pretrain_rcdb` does, for a number of steps instead of a time."""
    if steps < 1:
        raise BadOption(f"steps must be at least 1, not {steps}.")
    _pretrain({"arch": arch, "classes": classes, "image_size": image_size, "seed": seed, "steps": steps}, output)


def _pretrain(options: Json, output: Path) -> None:
    _check(options, output)
    partial = partial_path(output)
    saved = _load_partial(partial, options)
    batches = Batches(draw_classes(options["classes"], options["seed"]), options["seed"], BATCH, options["image_size"])
    training = _training(options, batches, saved)
    with deferred_interrupts() as asked:
        saver = _Saver(partial, options, training)
        train(training, batches, lambda: saver.keep() and not asked.is_set())
        if training.step < training.steps:
            saver.save()
        else:
            _save(output, _checkpoint(options, training))
            partial.unlink(missing_ok=True)


def partial_path(output: Path) -> Path:
    """Return where the unfinished work of `output` is stored."""
    return output.with_name(f"{output.name}.partial")


class _Saver:
    """Writes the partial file every SAVE_SECONDS."""

    def __init__(self, path: Path, options: Json, training: Training) -> None:
        self._path, self._options, self._training = path, options, training
        self._saved = time.monotonic()

    def keep(self) -> bool:
        """Save if it is time; always True, training goes on."""
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()
        return True

    def save(self) -> None:
        _save(self._path, {"options": self._options, **self._training.state()})
        self._saved = time.monotonic()


def _training(options: Json, batches: Batches, saved: Json | None) -> Training:
    network = (options["arch"], options["classes"], options["image_size"], options["seed"])
    if saved is not None:
        training = start_training(*network, steps=saved["steps"])
        training.restore(saved)
        return training
    if "steps" in options:
        return start_training(*network, steps=options["steps"])
    began = time.monotonic()
    pace = seconds_per_step(start_training(*network, steps=1), batches)
    left = 60 * options["minutes"] - (time.monotonic() - began)
    return start_training(*network, steps=max(1, round(left / pace)))


def _check(options: Json, output: Path) -> None:
    if output.exists():
        raise BadOption(f"{output} exists and is never overwritten. Move it away, or choose another output.")
    for name, least in (("classes", 2), ("image_size", 32)):
        if options[name] < least:
            raise BadOption(f"{name} must be at least {least}, not {options[name]}.")


def _load_partial(path: Path, options: Json) -> Json | None:
    if not path.exists():
        return None
    try:
        saved: Json = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UnreadableCheckpoint(f"{path} is damaged ({error}). Delete it to start again.") from error
    if saved.get("options") != options:
        raise FingerprintMismatch(
            f"{path} holds unfinished work of {saved.get('options')}, but this call asks for {options}. "
            "Repeat the first call to finish it, delete the file to drop it, or choose another output."
        )
    return saved


def _checkpoint(options: Json, training: Training) -> Json:
    state = training.state()
    return {
        "epoch": 1,
        "arch": options["arch"],
        **{key: state[key] for key in ("state_dict", "optimizer", "scheduler", "step")},
        "input": {"mean": list(MEAN), "std": list(STD), "range": "0-1", "channel_order": "RGB"},
        "pretraining": {
            "method": "rcdb",
            **{key: options[key] for key in ("classes", "image_size", "seed")},
            **{"steps": training.steps, "images": training.steps * BATCH},
            **{"final_loss": training.loss, "final_accuracy": training.accuracy},
        },
    }


def _save(path: Path, content: Json) -> None:
    with replacing(path) as temporary:
        torch.save(content, temporary)
