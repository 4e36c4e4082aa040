from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from tests.openmmlab.processes import in_two_processes
from transfer.errors import BadOption, UnknownName
from transfer.openmmlab import norms
from transfer.openmmlab.norms import convert_norms


def network() -> nn.Sequential:
    """Two normalisations, whose running statistics are not the initial ones."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Conv2d(4, 5, 1), BatchNormAct2d(5)))
    with torch.no_grad():
        net(torch.randn(8, 3, 9, 9) * 3 + 1)
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) / 4)
    return net


IMAGES = torch.randn(4, 3, 9, 9, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("policy", ["frozen", "eval"])
def test_the_checkpoints_statistics_stay(policy: str) -> None:
    net = network()
    expected = copy.deepcopy(net).eval()(IMAGES)
    names, before = list(net.state_dict()), copy.deepcopy(net.state_dict())
    modules = list(net.modules())
    assert convert_norms(net, policy) is net
    for _ in range(2):
        net.train()
        torch.testing.assert_close(net(IMAGES), expected)
    assert list(net.state_dict()) == names and list(net.modules()) == modules
    assert all(torch.equal(net.state_dict()[name], before[name]) for name in names)
    trained = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    convolutions = {"0.weight", "0.bias", "2.0.weight", "2.0.bias"}
    assert trained == (convolutions if policy == "frozen" else {name for name, _ in net.named_parameters()})
    assert net[0].training and not net[1].training and not net[2][1].training


def test_one_process_keeps_plain_batch_norm() -> None:
    net = network()
    kinds = [type(module) for module in net.modules()]
    convert_norms(net, "sync")
    convert_norms(net, "sync", 1)
    assert [type(module) for module in net.modules()] == kinds


@pytest.mark.parametrize(
    ("device", "kinds"), [("cpu", norms.GLOBAL), ("cuda", norms.SYNCHRONISED)], ids=["cpu", "cuda"]
)
def test_several_processes_share_statistics(device: str, kinds: norms.Kinds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norms, "get_device", lambda: device)
    net = network()
    names, expected = list(net.state_dict()), copy.deepcopy(net).eval()(IMAGES)
    convert_norms(net, "sync", 2)
    assert (type(net[1]), type(net[2][1])) == (kinds[nn.BatchNorm2d], kinds[BatchNormAct2d])
    assert list(net.state_dict()) == names
    torch.testing.assert_close(net.eval()(IMAGES), expected)
    convert_norms(net, "sync", 2)
    assert type(net[1]) is kinds[nn.BatchNorm2d]


def test_alone_the_global_norm_is_batch_norm() -> None:
    ours, plain = norms.GlobalBatchNorm2d(3), nn.BatchNorm2d(3)
    assert torch.equal(ours(IMAGES), plain(IMAGES))
    assert torch.equal(ours.running_var, plain.running_var)


def test_what_cannot_be_converted_is_named() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    with pytest.raises(BadOption, match="BatchNorm2d and BatchNormAct2d, but 1 is a BatchNorm1d"):
        convert_norms(net, "frozen")
    with pytest.raises(UnknownName, match="Did you mean frozen"):
        convert_norms(net, "froze")


# Two processes


def test_two_processes_equal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), BatchNormAct2d(4, momentum=None)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_()
    images, target = torch.randn(3, 3, 7, 6).double() * 2 + 5, torch.randn(3, 4, 5, 4).double()

    def half(rank: int) -> dict[str, Any]:
        part, share = copy.deepcopy(net), slice(0, 1) if rank == 0 else slice(1, None)  # unequal on purpose
        convert_norms(part, "sync")
        assert type(part[0]) is norms.GlobalBatchNorm2d and type(part[2]) is norms.GlobalBatchNormAct2d
        mine = images[share].clone().requires_grad_()
        output = part(mine)
        (output * target[share]).sum().backward()
        gradients = {name: parameter.grad for name, parameter in part.named_parameters()}
        return {"output": output.detach(), "images": mine.grad, "gradients": gradients, "state": part.state_dict()}

    monkeypatch.setattr(norms, "get_device", lambda: "cpu")
    first, second = in_two_processes(half, tmp_path)

    images.requires_grad_()
    output = net.train()(images)
    (output * target).sum().backward()
    torch.testing.assert_close(torch.cat([first["output"], second["output"]]), output.detach())
    torch.testing.assert_close(torch.cat([first["images"], second["images"]]), images.grad)
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(first["gradients"][name] + second["gradients"][name], parameter.grad)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(first["state"][name], value)
        torch.testing.assert_close(second["state"][name], value)


def test_a_large_mean_costs_no_more_precision_than_in_batch_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norms._SumOverProcesses, "apply", lambda value: value)
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) + 1000
    exact = nn.BatchNorm2d(3).double()(images.double())
    assert (norms._normalise_globally(norms.GlobalBatchNorm2d(3), images) - exact).abs().max() < 2e-4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_normalised_in_single(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norms._SumOverProcesses, "apply", lambda value: value)
    images, norm = IMAGES.to(dtype), norms.GlobalBatchNorm2d(3)
    expected = nn.BatchNorm2d(3)(images.float()).to(dtype)
    torch.testing.assert_close(norms._normalise_globally(norm, images), expected)
    assert norm.running_mean is not None and norm.running_mean.dtype == torch.float32
