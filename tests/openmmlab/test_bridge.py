from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.structures import InstanceData, PixelData
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader

import transfer
from transfer.errors import MissingOp, TransferError
from transfer.openmmlab import bridge
from transfer.openmmlab.ops import OPERATORS

ROOT = Path(transfer.__file__).parents[1]


def python(code: str, *path: Path) -> str:
    """Standard output of a fresh interpreter."""
    places = [str(place) for place in (*path, ROOT)]
    code = f"import sys; sys.path[:0] = {places!r}; {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    return done.stdout.strip()


# The stand-in

needs_bridge = pytest.mark.skipif(bridge.compiled(), reason="mmcv has compiled operators here")


@needs_bridge
def test_the_stand_in_is_a_genuine_module() -> None:
    spec = importlib.util.find_spec("mmcv._ext")
    assert spec is not None and spec.name == "mmcv._ext" and isinstance(spec.loader, bridge.BridgeLoader)
    module = sys.modules["mmcv._ext"]
    assert module.__spec__ is spec
    assert bridge.install_bridge() is True
    assert sys.modules["mmcv._ext"] is module
    assert "torchvision" in bridge.status()


def wanted_operators() -> set[str]:
    """Names that `mmcv.ops` looks up when it is imported."""
    spec = importlib.util.find_spec("mmcv")
    assert spec is not None and spec.origin is not None
    sources = (file.read_text(encoding="utf-8") for file in (Path(spec.origin).parent / "ops").glob("*.py"))
    lists = (names for source in sources for names in re.findall(r"load_ext\(\s*'_ext',\s*\[([^]]*)", source))
    return {name for names in lists for name in re.findall(r"'(\w+)'", names)}


@needs_bridge
def test_every_operator_is_served_or_refused_when_called() -> None:
    wanted, served = wanted_operators(), set(OPERATORS)
    assert len(wanted) > 100 and served <= wanted
    for name in served:
        assert getattr(sys.modules["mmcv._ext"], name) is OPERATORS[name]
    for name in wanted - served:
        operator = getattr(sys.modules["mmcv._ext"], name)
        with pytest.raises(MissingOp, match=rf"'{name}'.*roi_align_forward.*pip install"):
            operator()


@needs_bridge
def test_a_refusal_is_both_ours_and_pythons() -> None:
    from mmcv.ops import nms_rotated

    with pytest.raises(NotImplementedError, match="nms_rotated") as refusal:
        nms_rotated(torch.zeros(1, 5), torch.zeros(1), 0.5)
    assert isinstance(refusal.value, TransferError)


@needs_bridge
def test_the_stand_in_has_no_dunder_names_by_chance() -> None:
    assert not hasattr(sys.modules["mmcv._ext"], "__wrapped__")


@needs_bridge
def test_mmcv_reports_its_build() -> None:
    from mmcv.ops import get_compiler_version, get_compiling_cuda_version

    assert "torchvision" in get_compiler_version()
    assert get_compiling_cuda_version() == (torch.version.cuda or "not available")


def test_compiled_operators_win(tmp_path: Path) -> None:
    package = tmp_path / "mmcv"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "_ext.py").write_text("compiled = True\n")
    answer = python(
        "from transfer.openmmlab import bridge; import mmcv._ext; "
        "print(bridge.compiled(), bridge.install_bridge(), mmcv._ext.compiled, bridge.status())",
        tmp_path,
    )
    assert answer == "True False True mmcv's own compiled operators"


def test_an_extension_that_is_loaded_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an editable install of mmcv would load it, from a place that only its own finder knows."""
    loaded = ModuleType("mmcv._ext")
    monkeypatch.setitem(sys.modules, "mmcv._ext", loaded)
    assert bridge.compiled() and not bridge.install_bridge()
    assert sys.modules["mmcv._ext"] is loaded


def test_importing_the_package_imports_no_framework() -> None:
    heavy = "print([name for name in ('torch', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpose') if name in sys.modules])"
    assert python(f"import transfer.openmmlab; {heavy}") == "[]"


# Child processes


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """One image with one person, in COCO's layout."""
    Image.new("RGB", (40, 30), "red").save(tmp_path / "image.png")
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 10], "area": 200, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "image.png", "width": 40, "height": 30}],
        "annotations": [{**person, "keypoints": [10, 10, 2] * 17, "num_keypoints": 17}],
        "categories": [{"id": 1, "name": "person"}],
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    return path


def theirs(scope: str, truth: Path, *steps: dict[str, Any]) -> Any:
    """A data set with transforms, all of them of `scope`."""
    pipeline = [{**step, "type": f"{scope}.{step['type']}"} for step in steps]
    config = {"ann_file": str(truth), "data_prefix": {"img": str(truth.parent)}, "pipeline": pipeline}
    return DATASETS.build({"type": f"{scope}.CocoDataset", **config})


@pytest.mark.filterwarnings("ignore:The metainfo config file")  # mmpose, whose configs are installed elsewhere
@pytest.mark.filterwarnings("ignore:The metainfo config file:UserWarning")  # mmpose looks in two places
def test_workers_can_unpickle_foreign_data_sets(truth: Path) -> None:
    """By `forkserver`; test_workers.py does it by `spawn`."""
    boxes = theirs(
        "mmdet",
        truth,
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations", "with_bbox": True},
        {"type": "Resize", "scale": (80, 60)},
        {"type": "PackDetInputs"},
    )
    poses = theirs(
        "mmpose",
        truth,
        {"type": "LoadImage"},
        {"type": "GetBBoxCenterScale"},
        {"type": "TopdownAffine", "input_size": (24, 32)},
        {"type": "PackPoseInputs"},
    )
    both = ConcatDataset([poses, boxes])  # mmpose, which needs all of the stand-ins, is unpickled first
    loader = DataLoader(both, batch_size=2, num_workers=1, collate_fn=list, multiprocessing_context="forkserver")
    ((pose, box),) = list(loader)
    assert pose["inputs"].shape == (3, 32, 24)
    assert pose["data_samples"].gt_instances.keypoints.shape == (1, 17, 2)
    assert box["inputs"].shape == (3, 60, 80)
    assert box["data_samples"].gt_instances.bboxes.tensor.tolist() == [[10, 10, 50, 30]]


# Models train through it


def train_once(scope: str, config: dict[str, Any], data: dict[str, Any]) -> torch.nn.Module:
    """One forward and backward pass, after which every trained parameter has a finite gradient."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(ConfigDict(config))
        model.train()
        data = model.data_preprocessor(data, training=True)
        losses = model(**data, mode="loss")
        total, _ = model.parse_losses(losses)
    total.backward()
    missing = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    return model


def resnet(**options: Any) -> dict[str, Any]:
    return {"type": "mmdet.ResNet", "depth": 18, "frozen_stages": -1, "base_channels": 8, **options}


def assigner(positive: float, negative: float, low_quality: bool) -> dict[str, Any]:
    thresholds = {"pos_iou_thr": positive, "neg_iou_thr": negative, "min_pos_iou": negative}
    return {"type": "MaxIoUAssigner", **thresholds, "match_low_quality": low_quality}


def sampler(number: int, add_truth: bool) -> dict[str, Any]:
    return {"type": "RandomSampler", "num": number, "pos_fraction": 0.5, "add_gt_as_proposals": add_truth}


def faster_rcnn() -> dict[str, Any]:
    proposals = {"nms_pre": 100, "max_per_img": 50, "nms": {"type": "nms", "iou_threshold": 0.7}, "min_bbox_size": 0}
    trained = {"allowed_border": -1, "pos_weight": -1, "debug": False}
    return {
        "type": "FasterRCNN",
        "data_preprocessor": {"type": "DetDataPreprocessor", "mean": [128] * 3, "std": [50] * 3},
        "backbone": resnet(),
        "neck": {"type": "FPN", "in_channels": [8, 16, 32, 64], "out_channels": 16, "num_outs": 5},
        "rpn_head": {
            "type": "RPNHead",
            "in_channels": 16,
            "feat_channels": 16,
            "anchor_generator": {
                "type": "AnchorGenerator",
                "scales": [4],
                "ratios": [0.5, 1.0],
                "strides": [4, 8, 16, 32, 64],
            },
            "bbox_coder": {"type": "DeltaXYWHBBoxCoder"},
            "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True},
        },
        "roi_head": {
            "type": "StandardRoIHead",
            "bbox_roi_extractor": {
                "type": "SingleRoIExtractor",
                "roi_layer": {"type": "RoIAlign", "output_size": 7, "sampling_ratio": 0},
                "out_channels": 16,
                "featmap_strides": [4, 8, 16, 32],
            },
            "bbox_head": {
                "type": "Shared2FCBBoxHead",
                "in_channels": 16,
                "fc_out_channels": 32,
                "roi_feat_size": 7,
                "num_classes": 2,
                "bbox_coder": {"type": "DeltaXYWHBBoxCoder"},
            },
        },
        "train_cfg": {
            "rpn": {"assigner": assigner(0.7, 0.3, True), "sampler": sampler(32, False), **trained},
            "rpn_proposal": proposals,
            "rcnn": {"assigner": assigner(0.5, 0.5, False), "sampler": sampler(32, True), **trained},
        },
        "test_cfg": {
            "rpn": proposals,
            "rcnn": {"score_thr": 0.0, "nms": {"type": "nms", "iou_threshold": 0.5}, "max_per_img": 10},
        },
    }


def test_faster_rcnn_trains_and_predicts() -> None:
    from mmdet.structures import DetDataSample

    sample = DetDataSample(metainfo={"img_shape": (64, 64), "ori_shape": (64, 64), "scale_factor": (1.0, 1.0)})
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[8.0, 8, 40, 40], [30, 20, 60, 60]]), labels=torch.tensor([0, 1])
    )
    data = {"inputs": [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)], "data_samples": [sample]}
    model = train_once("mmdet", faster_rcnn(), data)
    (found,) = model.eval().test_step(data)
    assert found.pred_instances.bboxes.shape == (10, 4)


def test_aspp_trains() -> None:
    from mmseg.structures import SegDataSample

    head = {
        "type": "ASPPHead",
        "in_channels": 64,
        "channels": 16,
        "dilations": (1, 2, 4),
        "num_classes": 3,
        "in_index": 3,
        "loss_decode": {"type": "CrossEntropyLoss", "avg_non_ignore": True},
    }
    config = {
        "type": "EncoderDecoder",
        "data_preprocessor": {"type": "SegDataPreProcessor", "size": (64, 64), "mean": [128] * 3, "std": [50] * 3},
        "backbone": resnet(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
        "decode_head": head,
    }
    samples = []
    for _ in range(2):
        sample = SegDataSample(metainfo={"img_shape": (64, 64)})
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 3, (1, 64, 64)))
        samples.append(sample)
    images = [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8) for _ in samples]
    train_once("mmseg", config, {"inputs": images, "data_samples": samples})


def test_heatmaps_train() -> None:
    from mmpose.structures import PoseDataSample

    codec = {"type": "MSRAHeatmap", "input_size": (64, 96), "heatmap_size": (16, 24), "sigma": 1}
    head = {
        "type": "HeatmapHead",
        "in_channels": 64,
        "out_channels": 17,
        "deconv_out_channels": (16, 16, 16),
        "deconv_kernel_sizes": (4, 4, 4),
        "loss": {"type": "KeypointMSELoss", "use_target_weight": True},
        "decoder": codec,
    }
    config = {
        "type": "TopdownPoseEstimator",
        "data_preprocessor": {"type": "PoseDataPreprocessor", "mean": [128] * 3, "std": [50] * 3},
        "backbone": resnet(out_indices=(3,)),
        "head": head,
    }
    sample = PoseDataSample(metainfo={"img_shape": (96, 64)})
    sample.gt_fields = PixelData(heatmaps=torch.rand(17, 24, 16))
    sample.gt_instance_labels = InstanceData(keypoint_weights=torch.ones(1, 17))
    images = [torch.randint(0, 256, (3, 96, 64), dtype=torch.uint8)]
    train_once("mmpose", config, {"inputs": images, "data_samples": [sample]})
