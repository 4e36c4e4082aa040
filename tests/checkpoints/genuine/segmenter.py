from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.models.segmentation.fcn import FCN, FCNHead

from tests.checkpoints.genuine.files import Genuine, genuine_resnet, randomised


def segmenter(network: type[Any], head: type[Any], tree: Callable[[Mapping[str, Any]], Any]) -> Genuine:
    backbone = ResNet(Bottleneck, [1, 1, 1, 1], replace_stride_with_dilation=[False, True, True])
    layers = IntermediateLayerGetter(backbone, {"layer4": "out", "layer3": "aux"})
    model = randomised(network(layers, head(2048, 5), FCNHead(1024, 5)))
    return genuine_resnet(tree(model.state_dict()), backbone, "segmenter")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "segmenter: datasetgan": lambda: segmenter(DeepLabV3, DeepLabHead, lambda state: {"model_state_dict": state}),
    "segmenter: deeplab": lambda: segmenter(DeepLabV3, DeepLabHead, lambda state: state),
    "segmenter: fcn": lambda: segmenter(FCN, FCNHead, lambda state: {"model": state, "epoch": 3}),
}
