"""Load TorchScript files, which are programs, if all that they can touch is tensors, and refuse them otherwise."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transfer.errors import UnreadableCheckpoint, UnsafeCheckpoint

NAMESPACES = frozenset({"aten", "prim", "quantized", "torchvision"})
"""Libraries whose operators compute. Others run processes, talk to machines or read and write images."""

TEXT_METHODS = frozenset({*dir(str), *dir(list), *dir(dict)})
"""TorchScript's operators of Python's containers are called as their methods are."""

TEXT_OPERATORS = """
    Delete Float Int Print RaiseException StringIndex _assert_async _convolution_mode __interpolate _set_item __upsample
    add any conv1d conv2d conv3d device dict div div_ divide divide_ einsum eq fft_fft fft_fft2 fft_fftn fft_ifft
    fft_ifft2 fft_ifftn fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftn ge gelu gelu_ get_autocast_dtype gt
    index_reduce index_reduce_ le len linalg_cond linalg_eigh linalg_eigvalsh linalg_matrix_norm linalg_norm linalg_qr
    linalg_svd linalg_svdvals list lt meshgrid nanquantile ne ord pad pad_sequence percentFormat quantile scatter
    scatter_ scatter_reduce scatter_reduce_ searchsorted segment_reduce slice sorted stft str tolist warn
"""
"""Operators that take text, or whatever they are given, and only compute with it: a mode, a key, a message."""

STRUCTURE = """
    Constant CreateObject DictConstruct EnumName EnumValue Enter Exit GetAttr If ListConstruct ListUnpack Loop SetAttr
    TupleConstruct TupleSlice TupleUnpack Uninitialized isinstance unchecked_cast
"""
"""Nodes of a graph, of the namespace `prim`, that are the language, not operators."""

CUSTOM_CLASSES = ["__torch__", "torch", "classes"]
"""Where classes in C++ are found, which may load libraries."""

LEXEME = re.compile(
    r"""
    "(?P<text>(?:[ !#-\[\]-~]|\\(?:[\\'"abfnrtv]|[0-3][0-7]{2}))*)"(?![\ \n]*")  # two in a row would be one to torch
    | (?P<word>[A-Za-z_]\w*)
    | (?P<number>\d+\.?\d*(?:e[-+]?\d+)?j?(?!\w))
    | [][(){}<>=!,.:@+*/%&|^~ \n-]
    """,
    re.VERBOSE | re.ASCII,
)
"""What the code that torch writes is made of: no comments, lines that go on, or text of other kinds."""

CHAIN = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
"""A name with the attributes asked of it."""


def is_script(path: Path) -> bool:
    """Tell whether the file is an archive that brings code."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.partition("/")[2].lower().startswith("code/") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def load_script(path: Path) -> Callable[[Tensor], Tensor]:
    """Load the network of a TorchScript file, to infer with. Raises UnreadableCheckpoint or UnsafeCheckpoint.

    Its code is checked before torch sees it, since loading runs some of it (default values of arguments), and once more
    as torch understood it, before it is called.
    """
    data = path.read_bytes()  # once: a file that changes is no way around
    try:
        _check_code(_programs(data))
        script = _load(data)
        _check_kinds({kind for graph in _graphs(script) for kind in _kinds(graph)})
    except UnsafeCheckpoint as error:
        raise UnsafeCheckpoint(f"{path}: {error} It is not run.") from error
    except (RuntimeError, EOFError, ValueError, struct.error, zipfile.BadZipFile, zlib.error) as error:
        raise UnreadableCheckpoint(f"{path} is no TorchScript that loads: {error}") from error
    network: Callable[[Tensor], Tensor] = script.eval()
    return network


def _load(data: bytes) -> Any:
    load: Any = torch.jit.load
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # SSCD's published files are TorchScript, whatever torch prefers
        return load(io.BytesIO(data), map_location="cpu")


def _programs(data: bytes) -> dict[str, bytes]:
    """Return the members with code or pickled objects, as torch reads them.

    Raises UnsafeCheckpoint where zipfile reads others.
    """
    reader = torch._C.PyTorchFileReader(io.BytesIO(data))
    names = reader.get_all_records()
    if len({name.lower() for name in names}) < len(names):  # torch does not tell capitals when it looks one up
        raise UnsafeCheckpoint("two of its members have one name, which could reach files.")
    found = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {member.filename.partition("/")[2]: member for member in archive.infolist()}
        if sorted(names) != sorted(members):
            raise UnsafeCheckpoint("its members depend on who reads it, which could reach files.")
        for name in names:  # one at a time: weights are large
            content = reader.get_record(name)
            if content != archive.read(members[name]):
                raise UnsafeCheckpoint(f"what {name} says depends on who reads it, which could reach files.")
            if name.lower().endswith((".py", ".pkl")):
                found[name] = content
    return found


def _check_code(programs: dict[str, bytes]) -> None:
    """Raise UnsafeCheckpoint where code, or a pickled object, could reach more than tensors."""
    refused = _refused_operators() | {"__setstate__"}  # which would run while the file loads; only its classes need it
    for name, content in programs.items():
        if name.lower().endswith(".py"):
            for called in _reaching(content.decode(errors="replace"), refused):
                raise UnsafeCheckpoint(f"{name} uses {called}, which could reach files.")
        elif name.lower().endswith(".pkl") and re.search(rb"torch[.\n]classes\b", content):
            raise UnsafeCheckpoint(f"{name} holds an object of a class in C++, which could reach files.")


def _reaching(code: str, refused: frozenset[str]) -> Iterator[str]:
    """Find what in serialised code could reach out, or hide that it does.

    Any mention counts, not only a call: an operator can be renamed, called as a method, or named in text (`getattr`).
    """
    at, without_texts = 0, []
    while at < len(code):
        lexeme = LEXEME.match(code, at)
        if lexeme is None:
            yield f"{code[at : at + 20]!r}, as torch does not write it"
            return
        mentioned = lexeme["word"] or (lexeme["text"] or "").encode().decode("unicode_escape")
        if mentioned in refused:
            yield mentioned
        without_texts.append({"text": '""', "number": "0"}.get(lexeme.lastgroup or "", lexeme.group()))
        at = lexeme.end()
    for chain in CHAIN.findall(re.sub(r"\s*\.\s*", ".", "".join(without_texts))):
        if _leaves(chain.split(".")):
            yield chain


def _leaves(names: list[str]) -> bool:
    """Tell whether a name and its attributes are another library's operator, a C++ class, or on the way to either."""
    if names[0] == "ops":
        return len(names) < 3 or names[1] not in NAMESPACES
    return names[:3] == CUSTOM_CLASSES[: len(names)]


def _refused_operators() -> frozenset[str]:
    """Return the names of operators that take text, or anything, and could therefore be told a file."""
    schemas = [str(schema).partition(" -> ")[0] for schema in torch._C._jit_get_all_schemas()]
    names = [re.match(r"(\w+)::(\w+)", schema) for schema in schemas if re.search(r"\bstr\b|\.\.\.", schema)]
    mine = {name[2] for name in names if name and name[1] in NAMESPACES}
    return frozenset(mine - TEXT_METHODS - {*TEXT_OPERATORS.split(), *STRUCTURE.split()})


def _graphs(script: Any) -> Iterator[Any]:
    """Yield the graphs of all that a loaded script can run."""
    for module in script.modules():
        for name in module._c._method_names():
            yield module._c._get_method(name).inlined_graph
        for hook in (*module._c._get_forward_hooks(), *module._c._get_forward_pre_hooks()):
            yield hook.inlined_graph


def _check_kinds(kinds: set[str]) -> None:
    """Raise UnsafeCheckpoint at a kind of node that could reach more than tensors, or that calls what is not seen."""
    refused = _refused_operators()
    operators = {schema.name for schema in torch._C._jit_get_all_schemas()}
    for kind in sorted(kinds - {f"prim::{name}" for name in STRUCTURE.split()}):
        namespace, _, name = kind.partition("::")
        if namespace not in NAMESPACES or name in refused or kind not in operators:
            raise UnsafeCheckpoint(f"it uses {kind}, which could reach files.")


def _kinds(block: Any) -> Iterator[str]:
    for node in block.nodes():
        yield node.kind()
        for inner in (*node.blocks(), *(node.g(name) for name in node.attributeNames() if node.kindOf(name) == "g")):
            yield from _kinds(inner)
