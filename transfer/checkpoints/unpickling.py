"""Pickles without execution.

Nothing that a pickle names is ever imported. A global is one of a few rebuilding functions defined here, or an inert
class that swallows what it is constructed with; names that only an attack would use are refused.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import IO, Any, ClassVar

import torch

from transfer.errors import UnsafeCheckpoint


class Inert(Mapping[str, Any]):
    """Stands for an object of a class that is not loaded, such as argparse.Namespace: its state, as a mapping."""

    origin = ""
    _fields: dict[Any, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        """Accept any construction; the positional arguments are kept under `args`."""
        self = super().__new__(cls)
        self._fields = {"args": args} if args else {}
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: `__new__` did it."""

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        for part in parts:
            if isinstance(part, dict):
                self._fields.update(part)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._fields[key] = value

    def append(self, value: Any) -> None:
        """Swallow the items of a list subclass."""

    def extend(self, values: Any) -> None:
        """Swallow the items of a list subclass."""

    def __getitem__(self, key: str) -> Any:
        return self._fields[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"<inert {self.origin}>"


class Plain(dict[Any, Any]):
    """A dict that ignores the attributes a pickle would give it (a state dict's `_metadata`)."""

    def __setstate__(self, state: Any) -> None:
        """Nothing."""


class Rebuilder:
    """A function that the pickle may call and cannot alter."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *args: Any) -> Any:
        """What the function returns."""
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a pickle tries to alter a function")

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("a pickle tries to alter a function")


# fmt: off
DANGEROUS_MODULES = frozenset((
    "os", "posix", "nt", "posixpath", "ntpath", "subprocess", "sys", "shutil", "socket", "runpy", "importlib",
    "ctypes", "pty", "webbrowser", "commands", "popen2", "io", "_io", "code", "codeop", "pdb", "bdb", "timeit",
    "profile", "cProfile", "trace", "pickle", "_pickle", "marshal", "operator", "_operator", "inspect", "gc",
    "threading", "_thread", "multiprocessing", "concurrent", "asyncio", "tempfile", "urllib", "http", "ftplib",
    "smtplib", "telnetlib", "ssl", "requests", "zipimport", "pkgutil", "site", "sysconfig", "platform", "pip",
    "setuptools", "distutils", "resource", "pydoc", "doctest", "cffi", "atexit", "linecache", "tarfile", "zipfile",
    "sqlite3", "msvcrt", "winreg", "_winapi",
))
DANGEROUS_BUILTINS = frozenset((
    "eval", "exec", "execfile", "compile", "open", "__import__", "getattr", "setattr", "delattr", "hasattr",
    "input", "raw_input", "breakpoint", "vars", "globals", "locals", "dir", "apply", "reload", "file", "map",
    "filter", "reduce", "exit", "quit", "help", "memoryview", "type", "super", "property", "callable", "print",
))
# fmt: on
BUILTINS = ("builtins", "__builtin__", "__builtins__")
DANGEROUS_NAMES = (
    "torch.hub",
    "torch.jit",
    "torch.utils.cpp_extension",
    "torch.package",
    "torch.load",
    "types.CodeType",
    "types.FunctionType",
    "numpy.load",
    "numpy.fromfile",
    "numpy.memmap",
    "numpy.testing",
    "dill.load",
    "dill.loads",
    "cloudpickle.load",
    "cloudpickle.loads",
)


def refuse_dangerous(module: str, name: str) -> None:
    """Raise UnsafeCheckpoint for a global that weights have no use for."""
    dotted = f"{module}.{name}"
    harmful = (
        module.split(".")[0] in DANGEROUS_MODULES
        or (module in BUILTINS and name.split(".")[0] in DANGEROUS_BUILTINS)
        or any(dotted == prefix or dotted.startswith(prefix + ".") for prefix in DANGEROUS_NAMES)
        or (module != "copyreg" and any(re.fullmatch("__.*__", part) for part in name.split(".")))
    )
    if harmful:
        raise UnsafeCheckpoint(
            f"the file's pickle asks for {dotted}, which weights never need: reading it elsewhere would run code that "
            "the file brings. Do not load it with torch.load; ask its author for a .safetensors file or a plain state "
            "dict."
        )


def _inert(module: str, name: str) -> type[Inert]:
    return type(name.split(".")[-1] or "Unnamed", (Inert,), {"origin": f"{module}.{name}"})


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
    "__builtin__.dict": _plain,
    "collections.defaultdict": _default_dict,
    "collections.Counter": _plain,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "builtins.list": list,
    "__builtin__.set": set,
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
DEEPEST_TUPLE = 100


class SafeUnpickler(pickle._Unpickler):
    """An unpickler that resolves globals by table; `storage(key, dtype, numel, view)` provides the 1-D data.

    It is Python's own implementation in Python: milliseconds slower, but tuples can be counted, whose hash would
    overflow the C stack if they were nested deeply enough.
    """

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: IO[bytes], storage: Callable[..., torch.Tensor]) -> None:
        super().__init__(file, encoding="utf-8", errors="replace")
        self._storage = storage
        self._depths: dict[int, int] = {}

    def _load_tuple(self, build: Callable[[Any], None]) -> None:
        build(self)
        made = self.stack[-1]  # type: ignore[attr-defined]
        depth = 1 + max((self._depths.get(id(item), 0) for item in made if isinstance(item, tuple)), default=0)
        if depth > DEEPEST_TUPLE:
            raise pickle.UnpicklingError(f"tuples nested more than {DEEPEST_TUPLE} deep")
        self._depths[id(made)] = depth

    dispatch[pickle.TUPLE[0]] = partial(_load_tuple, build=dispatch[pickle.TUPLE[0]])
    dispatch[pickle.TUPLE1[0]] = partial(_load_tuple, build=dispatch[pickle.TUPLE1[0]])
    dispatch[pickle.TUPLE2[0]] = partial(_load_tuple, build=dispatch[pickle.TUPLE2[0]])
    dispatch[pickle.TUPLE3[0]] = partial(_load_tuple, build=dispatch[pickle.TUPLE3[0]])

    def find_class(self, module: str, name: str, /) -> Any:
        """A table entry or an inert class; raises UnsafeCheckpoint for a dangerous name."""
        refuse_dangerous(module, name)
        dotted = f"{module}.{name}"
        if module in ("torch", "torch.storage", "torch.cuda") and name in STORAGES:
            return StorageType(STORAGES[name])
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if dotted in REBUILDERS:
            return Rebuilder(REBUILDERS[dotted])
        return _inert(module, name)

    def persistent_load(self, pid: Any, /) -> Any:
        """`("storage", type, key, location, numel[, view])` → its data; `("module", class, ...)` → the class."""
        if not isinstance(pid, tuple) or not pid:
            raise pickle.UnpicklingError(f"a reference of unknown form {pid!r:.80}")
        if pid[0] == "module":
            return pid[1]
        kind, key, _location, numel, *view = pid[1:]
        if not isinstance(kind, StorageType):
            raise pickle.UnpicklingError(f"a storage of unknown type {kind!r:.80}")
        return self._storage(str(key), kind.dtype, int(numel), view[0] if view else None)
