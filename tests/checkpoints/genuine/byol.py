from __future__ import annotations

import io
import pickle
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torchvision.models.resnet import Bottleneck

from tests.backbones.networks import resnet_maps, same_convolution, same_max_pool
from tests.checkpoints.genuine.files import Genuine, State, noisy, small_resnet, without


class Experiment(tuple[Any, ...]):
    """BYOL's experiment state: a named tuple, which dill makes anew when it reads."""


class FlatMapping(dict[str, Any]):
    """haiku's mapping of before 2022."""


FIELDS = ("online_params", "target_params", "online_state", "target_state", "opt_state")


@dataclass(frozen=True)
class Dilled(Genuine):
    """A file as `dill.dump(..., protocol=2)` writes it, without dill."""

    def write(self, folder: Path) -> Path:
        """Write the file."""
        stream = io.BytesIO()
        with patch.dict(sys.modules, DILL | HAIKU):
            Dill(stream, protocol=2).dump(self.tree)
        path = folder / f"file{self.suffix}"
        path.write_bytes(stream.getvalue())
        return path


def foreign(module: str, name: str) -> Any:
    """A class of a module that is not installed, and the module with its packages."""
    parts = module.split(".")
    packages = {".".join(parts[:end]): ModuleType(".".join(parts[:end])) for end in range(1, len(parts) + 1)}
    kind = type(name, (), {"__module__": module, "__qualname__": name})
    setattr(packages[module], name, kind)
    return kind, packages


CREATE, DILL = foreign("dill._dill", "_create_namedtuple")
FLAT, HAIKU = foreign("haiku._src.data_structures", "FlatMapping")


class Dill(pickle.Pickler):
    """Named tuples by their fields, haiku's mappings by their items."""

    def reducer_override(self, value: Any) -> Any:
        """Return how a value is made again."""
        if value is Experiment:
            return CREATE, ("_ByolExperimentState", FIELDS, "byol.byol_experiment")
        if isinstance(value, Experiment):
            return Experiment, tuple(value)
        if isinstance(value, FlatMapping):
            return FLAT, (dict(value),)
        return NotImplemented


def haikus_name(name: str) -> tuple[str, str]:
    """torchvision's names as haiku's module and parameter; running statistics have a module of their own."""
    module, _, parameter = name.rpartition(".")
    module = re.sub(r"^conv1$", "initial_conv", re.sub(r"^bn1$", "initial_batchnorm", module))
    module = re.sub(r"layer(\d)\.(\d+)\.", lambda m: f"block_group_{int(m[1]) - 1}/~/block_{m[2]}/~/", module)
    module = re.sub(r"bn(\d)$", lambda m: f"batchnorm_{int(m[1]) - 1}", module)
    module = re.sub(r"(?<=/)conv(\d)$", lambda m: f"conv_{int(m[1]) - 1}", module)
    module = module.replace("downsample.0", "shortcut_conv").replace("downsample.1", "shortcut_batchnorm")
    statistics = {"running_mean": "/~/mean_ema", "running_var": "/~/var_ema"}.get(parameter, "")
    parameter = (
        "average" if statistics else {"bias": "offset", "weight": "w" if "conv" in module else "scale"}[parameter]
    )
    return f"res_net50/~/{module}{statistics}", parameter


def haiku_trees(state: State, mapping: type[dict[str, Any]]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Parameters and state, as nested mappings of arrays."""
    parameters, statistics = mapping(), mapping()
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        module, parameter = haikus_name(name)
        array = (tensor.permute(2, 3, 1, 0) if tensor.ndim == 4 else tensor.reshape(1, 1, 1, -1)).contiguous().numpy()
        if parameter == "average":
            statistics[module] = mapping(counter=np.array(5), hidden=array / 2, average=array)
        else:
            parameters.setdefault(module, mapping())[parameter] = array
    head = mapping(w=np.zeros((2048, 16), np.float32), b=np.zeros(16, np.float32))
    return mapping(parameters | {"projector/linear": head, "classifier": head}), statistics


def byol(which: str | None = None, mapping: type[dict[str, Any]] = dict) -> Genuine:
    network = small_resnet(Bottleneck)
    state = without("fc.", network.state_dict())
    online, target = (noisy(state), state) if which == "target" else (state, noisy(state))
    trees = [haiku_trees(network, mapping) for network in (online, target)]
    experiment = Experiment((trees[0][0], trees[1][0], trees[0][1], trees[1][1], None))
    tree = {"experiment_state": experiment, "step": 1000, "rng": np.zeros(2, np.uint32)}

    def levels(images: Tensor) -> list[Tensor]:
        return resnet_maps(state, images, [1, 1, 1, 1], conv=same_convolution, pool=same_max_pool)

    options = {"which": which} if which else None
    with torch.no_grad():
        return Dilled(tree, "byol", levels, lambda x: levels(x)[-1], suffix=".pkl", options=options)


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "byol: online": byol,
    "byol: target": lambda: byol("target"),
    "byol: flat mappings": lambda: byol(mapping=FlatMapping),
}
