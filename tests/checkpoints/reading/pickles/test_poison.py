"""Whatever way a pickle names and calls something, nothing is imported, looked up or run."""

from __future__ import annotations

import pickle
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from transfer.checkpoints.reading.checkpoint import read_checkpoint
from transfer.errors import CheckpointError, UnreadableCheckpoint, UnsafeCheckpoint

WATCHED = ("os.", "subprocess.", "socket.", "shutil.", "ctypes.", "exec", "compile", "pickle.find_class", "import")
events: list[str] = []
watching = False


def watch(event: str, _args: Any) -> None:
    if watching and event.startswith(WATCHED):
        events.append(event)


sys.addaudithook(watch)


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path: Path) -> Iterator[None]:
    """Python reports imports, compilations and calls of the system; the first read loads torch's own modules."""
    global watching
    torch.save({"w": torch.ones(1)}, tmp_path / "first.pth")
    read_checkpoint(tmp_path / "first.pth")
    events.clear()
    yield
    watching = False
    assert not events


def short(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def by_global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def by_stack(module: str, name: str) -> bytes:
    return short(module) + short(name) + b"\x93"


CALLS: dict[str, Callable[[bytes], bytes]] = {
    "reduce": lambda function: function + short("true") + b"\x85R",
    "newobj": lambda function: function + short("true") + b"\x85\x81",
    "newobj_ex": lambda function: function + short("true") + b"\x85}\x92",
    "obj": lambda function: b"(" + function + short("true") + b"o",
    "reference only": lambda function: function,
    "build": lambda function: function + b"}" + short("__setstate__") + function + b"sb",
    "argument": lambda function: b"cbuiltins\nmap\n" + function + short("true") + b"\x85\x86R",
    "partial": lambda function: b"cfunctools\npartial\n" + function + short("true") + b"\x86R)R",
    "through a table": lambda function: (
        b"ctorch._tensor\n_rebuild_from_type_v2\n(" + function + b"N" + short("true") + b"\x85}tR"
    ),
    "through dill": lambda function: b"cdill._dill\n_create_array\n(" + function + short("true") + b"\x85N)tR",
    "through copyreg": lambda function: b"ccopyreg\n__newobj__\n" + function + short("true") + b"\x86R",
    "as a storage's type": lambda function: b"(" + short("storage") + function + short("0") + short("cpu") + b"K\1tQ",
    "as an array's type": lambda function: b"cnumpy\ndtype\n" + function + b"\x89\x88\x87R",
    "as a default": lambda function: b"ccollections\ndefaultdict\n" + function + b"\x85R",
}
NAMES = [
    ("os", "system"),
    ("posix", "system"),
    ("builtins", "eval"),
    ("__builtin__", "exec"),
    ("subprocess", "Popen"),
    ("torch.hub", "load"),
    ("torch.jit", "load"),
    ("torch.utils.cpp_extension", "load_inline"),
    ("torch.fx.graph_module", "reduce_graph_module"),
    ("numpy.testing._private.utils", "runstring"),
    ("runpy", "_run_code"),
    ("pickle", "loads"),
    ("dill._dill", "_create_function"),
    ("collections", "abc.sys.modules"),
    ("transformers.utils", "os.system"),
    ("anything", "__class__"),
]
WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "value": lambda value: b"}" + short("model") + value + b"s",
    "list": lambda value: b"}" + short("model") + b"](" + value + b"es",
    "key": lambda value: b"}" + value + b"Ns",
    "state": lambda value: b"}" + short("args") + b"cargparse\nNamespace\n)\x81}" + short("a") + value + b"sbs",
    "discarded": lambda value: value + b"0}",
    "remembered": lambda value: value + b"q\1}" + short("a") + b"h\1s",
}


def as_pickle(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def as_zip(data: bytes, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")


def as_script(data: bytes, path: Path) -> None:
    as_zip(data, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/constants.pkl", b"\x80\2).")


def as_legacy(data: bytes, path: Path) -> None:
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in parts) + data + pickle.dumps([], 2))


def as_objects(data: bytes, path: Path) -> None:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + data)


def as_nested(data: bytes, path: Path) -> None:
    inner = b"B" + len(data).to_bytes(4, "little") + data
    path.write_bytes(b"\x80\4}" + short("w") + b"ctorch.storage\n_load_from_bytes\n" + inner + b"\x85Rs.")


CONTAINERS = [as_pickle, as_zip, as_script, as_legacy, as_objects, as_nested]


def refused(data: bytes, container: Callable[[bytes, Path], None], path: Path) -> CheckpointError:
    global watching
    container(data, path)
    watching = True
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    watching = False
    return caught.value


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container.__name__)
@pytest.mark.parametrize("name", NAMES, ids=".".join)
def test_a_dangerous_name_is_refused_however_it_is_called(
    name: tuple[str, str], container: Callable[[bytes, Path], None], tmp_path: Path
) -> None:
    for kind in (by_global, by_stack):
        for call, build in CALLS.items():
            data = b"\x80\4" + WRAPPINGS["value"](build(kind(*name))) + b"."
            error = refused(data, container, tmp_path / "poison.pth")
            assert isinstance(error, UnsafeCheckpoint), (call, error)
            assert name[1] in str(error) or "map" in str(error), (call, error)


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container.__name__)
@pytest.mark.parametrize("wrapping", list(WRAPPINGS))
def test_wherever_it_stands(wrapping: str, container: Callable[[bytes, Path], None], tmp_path: Path) -> None:
    data = b"\x80\4" + WRAPPINGS[wrapping](CALLS["reduce"](by_global("os", "system"))) + b"."
    assert isinstance(refused(data, container, tmp_path / "poison.pth"), UnsafeCheckpoint)


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"(ios\nsystem\n.",
        b"(dp0\nS'a'\np1\ncos\nsystem\n(S'true'\ntRs.",
        b"}q\0(U\1acposix\nsystem\n(U\4truetRu.",
    ],
)
def test_old_protocols(data: bytes, tmp_path: Path) -> None:
    assert isinstance(refused(data, as_pickle, tmp_path / "poison.pth"), UnsafeCheckpoint)


@pytest.mark.parametrize(
    "instruction",
    [b"\x82\1", b"\x83\1\0", b"\x84\1\0\0\0", b"\x97", b"\x98", b"Pos.system\n", b"K\1Q", b"\xff", b"\x00"],
)
def test_instructions_that_ask_someone_else(instruction: bytes, tmp_path: Path) -> None:
    error = refused(b"\x80\4}" + instruction + b".", as_pickle, tmp_path / "poison.pth")
    assert isinstance(error, UnreadableCheckpoint)


@pytest.mark.parametrize(
    "altered",
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch\nfloat32\n",
        b"ctorch\nFloatStorage\n",
        b"]",
        b"\x8f",
        b"K\1",
        short("text"),
        b")",
    ],
)
def test_what_a_pickle_may_not_alter(altered: bytes, tmp_path: Path) -> None:
    attributes = b"}" + short("function") + b"ca\nb\nsb"
    data = b"\x80\4}" + short("a") + altered + attributes + b"s."
    assert isinstance(refused(data, as_pickle, tmp_path / "poison.pth"), UnreadableCheckpoint)


def test_getattr_of_classes_that_are_not_loaded_is_a_member_of_an_enumeration(tmp_path: Path) -> None:
    """Python 3.11 pickles them so; of anything else it is an attack."""
    data = b"\x80\4}" + short("a") + b"cbuiltins\ngetattr\ncproject\nMode\n" + short("TRAIN") + b"\x86Rs."
    (tmp_path / "file.pth").write_bytes(data)
    assert read_checkpoint(tmp_path / "file.pth").tree["a"].origin == "project.Mode.TRAIN"
    for target in (b"ctorch._utils\n_rebuild_tensor_v2\n", b"}", b"cproject\nMode\n)\x81"):
        data = b"\x80\4}" + short("a") + b"cbuiltins\ngetattr\n" + target + short("TRAIN") + b"\x86Rs."
        assert isinstance(refused(data, as_pickle, tmp_path / "poison.pth"), UnsafeCheckpoint)


def odd_tensors() -> dict[str, torch.Tensor]:
    return {
        "quantised": torch.quantize_per_tensor(torch.ones(3), 0.5, 0, torch.qint8),
        "channels": torch.quantize_per_channel(torch.ones(2, 3), torch.ones(2), torch.zeros(2), 0, torch.qint8),
        "sparse": torch.eye(3).to_sparse(),
        "rows": torch.eye(3).to_sparse_csr(),
        "meta": torch.ones(3, device="meta"),
        "float8": torch.ones(3).to(torch.float8_e4m3fn),
        "unsigned": torch.ones(3, dtype=torch.uint16),
        "attributes": torch.nn.Parameter(torch.ones(3)),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_of_other_kinds(zipped: bool, tmp_path: Path) -> None:
    tensors = odd_tensors()
    tensors["attributes"].origin = "somewhere"  # type: ignore[attr-defined]
    for name, tensor in tensors.items():
        torch.save({"t": tensor, "w": torch.ones(2)}, tmp_path / "file.pth", _use_new_zipfile_serialization=zipped)
        read = read_checkpoint(tmp_path / "file.pth").tree
        assert read["w"].tolist() == [1, 1]
        if name in ("sparse", "rows", "meta"):
            assert not isinstance(read["t"], torch.Tensor)
        elif name in ("quantised", "channels"):
            assert read["t"].dtype == torch.int8
        else:
            assert read["t"].dtype == tensor.dtype and torch.equal(read["t"].float(), tensor.float())


def test_numbers_negated_by_a_bit_are_refused(tmp_path: Path) -> None:
    torch.save({"w": torch._neg_view(torch.ones(2))}, tmp_path / "file.pth")
    with pytest.raises(UnreadableCheckpoint, match="negated"):
        read_checkpoint(tmp_path / "file.pth")


def test_a_list_of_numbers_stays_one(tmp_path: Path) -> None:
    (tmp_path / "file.pkl").write_bytes(pickle.dumps({"a": [np.float32(1.5), np.int64(3), np.bool_(True)]}))
    assert read_checkpoint(tmp_path / "file.pkl").tree["a"] == [1.5, 3, True]
