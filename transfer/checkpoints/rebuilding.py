"""What stands in for the few functions that a checkpoint's pickle may call."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import torch

from transfer.checkpoints.inert import Plain


def _plain(*args: Any) -> Plain:
    return Plain(*args[:1])


def _default_dict(*_factory: Any) -> Plain:
    return Plain()


def _size(sides: Any) -> tuple[int, ...]:
    return tuple(map(int, sides))


def _first(value: Any, *_rest: Any) -> Any:
    return value


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1" if encoding not in ("utf-8", "ascii") else encoding)


def _rebuild_tensor(storage: Any, offset: int, size: Any, stride: Any, *_rest: Any) -> torch.Tensor:
    """A view of `storage` (1-D). Raises UnpicklingError where it would leave the storage."""
    size, stride = tuple(map(int, size)), tuple(map(int, stride))
    if not isinstance(storage, torch.Tensor) or len(size) != len(stride):
        raise pickle.UnpicklingError("a tensor without storage")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (0 not in size and last >= storage.numel()):
        raise pickle.UnpicklingError(f"a tensor of shape {size} reaches beyond its storage")
    return storage.as_strided(size, stride, offset)


def _rebuild_cast(
    storage: Any, offset: int, size: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any
) -> Any:
    return _rebuild_tensor(storage.view(dtype), offset, size, stride)


def _rebuild_subclass(function: Any, _kind: Any, args: Any, _state: Any = None) -> Any:
    """A tensor with attributes, without them."""
    return function(*args)


def _dtypes() -> dict[str, torch.dtype]:
    names = "float16 bfloat16 float32 float64 uint8 int8 int16 int32 int64 bool complex64 complex128"
    return {name: getattr(torch, name) for name in [*names.split(), "half", "float", "double", "int", "long", "short"]}


class StorageType:
    """The dtype of a `torch.<X>Storage` global."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}

REBUILDERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _plain,
    "builtins.dict": _plain,
    "collections.defaultdict": _default_dict,
    "collections.Counter": _plain,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "builtins.list": list,
    "builtins.complex": complex,
    "builtins.int": _first,
    "builtins.float": _first,
    "builtins.bool": _first,
    "_codecs.encode": _encode,
    "torch.Size": _size,
    "torch.device": _first,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_cast,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch.nn.parameter.Parameter": _first,
    "torch._tensor._rebuild_from_type_v2": _rebuild_subclass,
    "torch.serialization._get_layout": _first,
}
"""Global → what stands in for it. Constructors of builtin types only build values."""

DTYPES = _dtypes()
