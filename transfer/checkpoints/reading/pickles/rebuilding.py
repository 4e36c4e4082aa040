"""Stand-ins for the few functions that a checkpoint's pickle may call, and for all other globals."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from transfer.checkpoints.reading.deferred import Unaligned
from transfer.checkpoints.reading.pickles import arrays
from transfer.checkpoints.reading.pickles.dangerous import refuse_dangerous
from transfer.checkpoints.reading.pickles.inert import BareDict, Inert, InertClass, Rebuilder
from transfer.checkpoints.reading.pickles.keys import checked, name_of
from transfer.errors import UnsafeCheckpoint

MOST_DIMENSIONS = 64


def _dict(items: Any = (), *_: Any) -> BareDict:
    if isinstance(items, Mapping):
        return BareDict(items)
    pairs = [(key, value) for key, value in items]
    return BareDict(zip(checked(key for key, _ in pairs), (value for _, value in pairs), strict=True))


def _default_dict(*_factory: Any) -> BareDict:
    return BareDict()


def _set(items: Iterable[Any] = ()) -> set[Any]:
    return set(checked(items))


def _frozenset(items: Iterable[Any] = ()) -> frozenset[Any]:
    return frozenset(checked(items))


def _size(sides: Any) -> tuple[int, ...]:
    return tuple(map(int, sides))


def _first(value: Any = None, *_rest: Any) -> Any:
    return value


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1" if encoding not in ("utf-8", "ascii") else encoding)


def _byte_string(value: Any = b"", *_encoding: Any) -> bytes:
    """Stand in for `bytes` and `bytearray`; a number would ask for that many zeros."""
    return value.encode("latin1") if isinstance(value, str) else bytes(memoryview(value))


def _rebuild_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, _grad: Any = None, _hooks: Any = None, metadata: Any = None
) -> torch.Tensor:
    """Return a view of `storage` (1-D). Raises UnpicklingError where it would leave the storage."""
    size, stride, offset = tuple(map(int, size)), tuple(map(int, stride)), int(offset)
    if not isinstance(storage, torch.Tensor | Unaligned) or len(size) != len(stride) or len(size) > MOST_DIMENSIONS:
        raise pickle.UnpicklingError("a tensor without storage")
    if metadata:
        raise pickle.UnpicklingError("a conjugated or negated tensor")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (0 not in size and last >= storage.numel()):
        raise pickle.UnpicklingError(f"a tensor of shape {size} reaches beyond its storage")
    return storage.as_strided(size, stride, offset)


def _rebuild_cast(
    storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, metadata: Any = None
) -> torch.Tensor:
    """Return a view of a storage without type."""
    return _rebuild_tensor(storage.view(dtype), offset, size, stride, metadata=metadata)


def _rebuild_quantised(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> torch.Tensor:
    """Return the integers, without scale and zero point: matching refuses them by name."""
    return _rebuild_tensor(storage, offset, size, stride)


def _rebuild_subclass(function: Any, _kind: Any, args: Any, state: Any = None) -> Any:
    """Return a tensor with attributes without them.

    Of a distributed tensor, return the part that the file holds, if it is all.
    """
    made = function.function(*args) if not isinstance(function, InertClass) else function.build(args, {})
    local = state.get("_local_tensor") if isinstance(state, Mapping) else None
    if isinstance(made, Inert) and isinstance(local, torch.Tensor) and tuple(local.shape) == made.get("shape"):
        return local
    return made


def _without_values(origin: str, shape_at: int) -> Callable[..., Inert]:
    """Stand in for a tensor whose values a file does not hold as an array."""

    def build(*args: Any) -> Inert:
        return Inert(origin, {"shape": tuple(args[shape_at]) if shape_at < len(args) else None})

    return build


def _from_numpy(data: Any, dtype: Any, *_: Any) -> Any:
    return data.to(dtype) if isinstance(data, torch.Tensor) and isinstance(dtype, torch.dtype) else data


def _attribute(target: Any, name: Any) -> Inert:
    """Stand in for `getattr`, by which Python 3.11 pickles members of enumerations.

    It reads attributes of a class that is not loaded, nothing else.
    """
    name = name_of(name)
    if not isinstance(target, InertClass) or not name.isidentifier() or name.startswith("__"):
        raise UnsafeCheckpoint(
            f"the file's pickle calls builtins.getattr for {name!r:.80}, which weights never need. Do not load it with "
            "torch.load; ask its author for a .safetensors file or a plain state dict."
        )
    return Inert(f"{target.origin}.{name}", {})


def _reconstructor(kind: Any, _base: Any = None, state: Any = None) -> Any:
    """Construct an object as protocols 0 and 1 do; `state` are the items of a dict subclass."""
    return kind.build((state,) if isinstance(state, Mapping) else (), {})


def _new(kind: Any, *args: Any) -> Any:
    return kind.build(args, {})


def _named_tuple(name: Any, fields: Any, module: Any = "", *_: Any) -> InertClass:
    """Stand in for `dill._dill._create_namedtuple`."""
    return InertClass(f"{name_of(module)}.{name_of(name)}", tuple(map(name_of, fields)))


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
    "QInt8Storage": torch.int8,
    "QUInt8Storage": torch.uint8,
    "QInt32Storage": torch.int32,
}

DTYPE_NAMES = """
    float16 half bfloat16 float32 float float64 double uint8 uint16 uint32 uint64 int8 int16 short int32 int int64 long
    bool complex64 cfloat complex128 cdouble float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu
"""
DTYPES = {name: getattr(torch, name) for name in DTYPE_NAMES.split() if hasattr(torch, name)}
"""`torch.<name>` → the dtype; those of quantised tensors are left out."""

REBUILDERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _dict,
    "builtins.dict": _dict,
    "collections.defaultdict": _default_dict,
    "collections.Counter": _dict,
    "types.MappingProxyType": _dict,
    "builtins.set": _set,
    "builtins.frozenset": _frozenset,
    "builtins.list": lambda items=(): list(items),
    "builtins.tuple": lambda items=(): tuple(items),
    "builtins.complex": complex,
    "builtins.int": _first,
    "builtins.float": _first,
    "builtins.bool": _first,
    "builtins.str": _first,
    "builtins.bytes": _byte_string,
    "builtins.bytearray": _byte_string,
    "builtins.getattr": _attribute,
    "copyreg._reconstructor": _reconstructor,
    "copyreg.__newobj__": _new,
    "_codecs.encode": _encode,
    "dill._dill._create_namedtuple": _named_tuple,
    "dill._dill._create_array": arrays.dill_array,
    "jax._src.array._reconstruct_array": arrays.jax_array,
    "jax._src.device_array.reconstruct_device_array": arrays.jax_array,
    "jax.interpreters.xla._reconstruct_array": arrays.jax_array,
    "numpy.dtype": arrays.array_type,
    "numpy.core.multiarray._reconstruct": arrays.reconstruct,
    "numpy.core.multiarray.scalar": arrays.scalar,
    "numpy.core.numeric._frombuffer": arrays.from_buffer,
    "torch.Size": _size,
    "torch.device": _first,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_cast,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._utils._rebuild_qtensor": _rebuild_quantised,
    "torch._utils._rebuild_sparse_tensor": _without_values("a sparse tensor", 2),
    "torch._utils._rebuild_sparse_csr_tensor": _without_values("a sparse tensor", 2),
    "torch._utils._rebuild_nested_tensor": _without_values("a nested tensor", 4),
    "torch._utils._rebuild_meta_tensor_no_storage": _without_values("a meta tensor", 1),
    "torch._utils._rebuild_wrapper_subclass": _without_values("a tensor of another class", 2),
    "torch._utils._rebuild_device_tensor_from_numpy": _from_numpy,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _from_numpy,
    "torch._utils._rebuild_xla_tensor": _from_numpy,
    "torch.nn.parameter.Parameter": _first,
    "torch.nn.parameter.Buffer": _first,
    "torch.Tensor": _first,
    "torch.autograd.variable.Variable": _first,
    "torch._tensor._rebuild_from_type_v2": _rebuild_subclass,
    "torch._tensor._rebuild_from_type": _rebuild_subclass,
    "torch.serialization._get_layout": _first,
    "torch.jit._pickle.build_intlist": _first,
    "torch.jit._pickle.build_doublelist": _first,
    "torch.jit._pickle.build_boollist": _first,
    "torch.jit._pickle.build_tensorlist": _first,
    "torch.jit._pickle.restore_type_tag": _first,
}
"""Global → what stands in for it. Constructors of builtin types only build values."""

OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Names that moved; torch's default protocol still writes Python 2's."""


def resolve(module: str, name: str) -> Any:
    """Return what stands for a global: a table entry or an inert class.

    Raises UnsafeCheckpoint for a dangerous name.
    """
    refuse_dangerous(module, name)
    module = module.replace("numpy._core", "numpy.core")
    dotted = f"{OLD_MODULES.get(module, module)}.{name}"
    if module in ("torch", "torch.storage", "torch.cuda") and name in STORAGES:
        return StorageType(STORAGES[name])
    if module == "torch" and name in DTYPES:
        return DTYPES[name]
    if dotted in REBUILDERS:
        return Rebuilder(REBUILDERS[dotted])
    return InertClass(dotted)
