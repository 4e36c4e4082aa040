from __future__ import annotations

from collections.abc import Callable

from torchvision.models.resnet import Bottleneck

from tests.checkpoints.genuine.files import Genuine, genuine_resnet, heads, norms, prefixed, small_resnet, without


def barlow_training() -> Genuine:
    network = small_resnet(Bottleneck)
    projector = {
        name: t for name, t in heads("projector.0", "projector.3", "projector.6").items() if "bias" not in name
    }
    beside = projector | norms("projector.1", "projector.4", "bn")
    state = prefixed("backbone.", without("fc.", network.state_dict())) | beside
    tree = {"epoch": 1000, "model": prefixed("module.", state), "optimizer": {"state": {}, "param_groups": []}}
    return genuine_resnet(tree, network, "barlow_twins")


def barlow_released() -> Genuine:
    network = small_resnet(Bottleneck)
    state = without("fc.", network.state_dict())
    return genuine_resnet(state, network, "barlow_twins", {"family": "barlow-twins"})


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "barlow_twins: training": barlow_training,
    "barlow_twins: released": barlow_released,
}
