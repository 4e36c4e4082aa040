from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import transfer
from transfer.errors import BadOption, FingerprintMismatch, UnknownName, UnreadableCheckpoint
from transfer.pretrain import rcdb
from transfer.pretrain.batches import Batches
from transfer.pretrain.contours import draw_classes
from transfer.pretrain.rcdb import partial_path, pretrain_rcdb, pretrain_steps
from transfer.pretrain.training import rate, start_training, train

ARCH = "resnet10t"
ROOT = Path(transfer.__file__).parents[1]
Json = dict[str, Any]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rcdb, "BATCH", 8)


def _load(path: Path) -> Json:
    content: Json = torch.load(path, weights_only=True)
    return content


def _pretrain(output: Path, steps: int = 6, seed: int = 0, classes: int = 4, arch: str = ARCH) -> Json:
    pretrain_steps(arch, output, steps=steps, seed=seed, classes=classes, image_size=32)
    return _load(output)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _interrupt_after(monkeypatch: pytest.MonkeyPatch, step: int, number: signal.Signals) -> None:
    """Send this process a signal while step `step` is trained."""
    draw = Batches.draw

    def interrupting(self: Batches, at: int) -> tuple[torch.Tensor, torch.Tensor]:
        if at == step:
            os.kill(os.getpid(), number)
            time.sleep(0.05)
        return draw(self, at)

    monkeypatch.setattr(Batches, "draw", interrupting)


def test_the_file_is_an_ordinary_checkpoint(tmp_path: Path) -> None:
    content = _pretrain(tmp_path / "a.pth")
    assert set(content) == {"epoch", "arch", "state_dict", "optimizer", "scheduler", "step", "input", "pretraining"}
    assert (content["arch"], content["step"]) == (ARCH, 6)
    assert content["input"] == {"mean": [0.5] * 3, "std": [0.5] * 3, "range": "0-1", "channel_order": "RGB"}
    facts = content["pretraining"]
    expected = {"method": "rcdb", "classes": 4, "image_size": 32, "seed": 0, "steps": 6, "images": 48}
    assert {key: facts[key] for key in expected} == expected
    assert 0 <= facts["final_accuracy"] <= 1 and facts["final_loss"] > 0
    timm.create_model(ARCH, num_classes=4).load_state_dict(content["state_dict"])
    assert not partial_path(tmp_path / "a.pth").exists()


def test_the_network_is_healthy_in_evaluation() -> None:
    """After few steps the network tells the classes apart, with its running statistics as in training."""
    steps, batches = 60, Batches(draw_classes(4, 0), 0, 24, 32)
    training = start_training(ARCH, 4, 32, 0, steps)
    train(training, batches, lambda: True)
    images, labels = batches.draw(10**6)
    with torch.no_grad():
        accuracy = (training.model.eval()(images).argmax(1) == labels).float().mean().item()
    assert training.accuracy > 0.6 and accuracy > 0.6


def test_the_same_seed_gives_the_same_network(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = _pretrain(tmp_path / "a.pth")
    torch.manual_seed(2)
    assert _same(first, _pretrain(tmp_path / "b.pth"))
    assert not _same(first["state_dict"], _pretrain(tmp_path / "c.pth", seed=1)["state_dict"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_resumed_run_ends_in_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    expected = _pretrain(tmp_path / "whole.pth")
    monkeypatch.setattr(signal, "raise_signal", lambda number: signal.default_int_handler(number, None))
    with monkeypatch.context() as patch:
        _interrupt_after(patch, 3, number)
        with pytest.raises(KeyboardInterrupt):
            _pretrain(tmp_path / "parts.pth")
    saved = _load(partial_path(tmp_path / "parts.pth"))
    assert 0 < saved["step"] < 6 and not (tmp_path / "parts.pth").exists()
    assert _same(_pretrain(tmp_path / "parts.pth"), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.pth", "whole.pth"]


def test_work_is_saved_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = []
    save = rcdb._save
    monkeypatch.setattr(rcdb, "SAVE_SECONDS", -1.0)
    monkeypatch.setattr(rcdb, "_save", lambda path, content: (saved.append(content["step"]), save(path, content)))
    _pretrain(tmp_path / "a.pth", steps=3)
    assert saved == [1, 2, 3, 3]


def test_a_killed_process_leaves_work_to_resume(tmp_path: Path) -> None:
    """SIGTERM ends a real process by that signal, after its step is saved."""
    output = tmp_path / "a.pth"
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\nfrom transfer.pretrain import rcdb\nrcdb.SAVE_SECONDS = -1.0\n"
        f"rcdb.pretrain_steps({ARCH!r}, Path({str(output)!r}), steps=10**6, seed=0, classes=4, image_size=32)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, cwd=ROOT) as process:
        deadline = time.monotonic() + 120
        while not partial_path(output).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    assert _load(partial_path(output))["step"] >= 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth.partial"]


def test_unfinished_work_of_other_options_is_an_error(tmp_path: Path) -> None:
    output = tmp_path / "a.pth"
    torch.save({"options": {"arch": "other"}}, partial_path(output))
    with pytest.raises(FingerprintMismatch, match=r"other.*resnet10t"):
        _pretrain(output)
    partial_path(output).write_bytes(b"PK broken")
    with pytest.raises(UnreadableCheckpoint, match="Delete it"):
        _pretrain(output)


def test_a_finished_file_is_never_overwritten(tmp_path: Path) -> None:
    output = tmp_path / "a.pth"
    output.write_bytes(b"mine")
    with pytest.raises(BadOption, match="never overwritten"):
        _pretrain(output)
    assert output.read_bytes() == b"mine"


def test_a_budget_of_minutes_fixes_the_steps(tmp_path: Path) -> None:
    output = tmp_path / "a.pth"
    pretrain_rcdb(ARCH, output, minutes=0.01, classes=4, image_size=32)
    content = _load(output)
    assert content["step"] == content["pretraining"]["steps"] >= 1
    assert content["scheduler"]["last_epoch"] == content["step"]


@pytest.mark.parametrize(
    "change",
    [{"minutes": 0}, {"minutes": -1.0}, {"minutes": float("nan")}, {"classes": 1}, {"image_size": 8}],
)
def test_options_that_cannot_work(tmp_path: Path, change: Json) -> None:
    with pytest.raises(BadOption, match=next(iter(change))):
        pretrain_rcdb(ARCH, tmp_path / "a.pth", **change)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_architecture_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="resnet18"):
        _pretrain(tmp_path / "a.pth", arch="resent18")


def test_a_vit_gets_its_image_size(tmp_path: Path) -> None:
    content = _pretrain(tmp_path / "v.pth", steps=1, arch="vit_tiny_patch16_224")
    assert content["state_dict"]["pos_embed"].shape == (1, 1 + (32 // 16) ** 2, 192)


def test_the_schedule_rises_then_falls_to_zero() -> None:
    rates = [rate(step, 100) for step in range(101)]
    peak = rates.index(max(rates))
    assert 3 <= peak <= 7 and rates[peak] == pytest.approx(1, abs=0.02)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[0] > 0 and rates[100] == pytest.approx(0, abs=1e-9)


def test_batches_are_a_function_of_the_step() -> None:
    batches = Batches(draw_classes(3, 0), 0, 4, 32)
    ahead = list(batches.between(2, 5))
    for step, (images, labels) in zip(range(2, 5), ahead, strict=True):
        expected = batches.draw(step)
        assert torch.equal(images, expected[0]) and torch.equal(labels, expected[1])
    assert images.shape == (4, 3, 32, 32) and images.min() >= -1 and images.max() <= 1
    assert set(labels.tolist()) <= {0, 1, 2}
