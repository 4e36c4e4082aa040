from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.dedup.conftest import encode, picture
from transfer.checkpoints.reading import torchscript as scripts
from transfer.checkpoints.reading.torchscript import is_script, load_script
from transfer.errors import UnreadableCheckpoint, UnsafeCheckpoint
from transfer.workflows.descriptor import Descriptor

pytestmark = pytest.mark.filterwarnings(
    r"ignore:`torch\.jit\..*:FutureWarning", r"ignore:`torch\.jit\..*:DeprecationWarning"
)

IMAGES = torch.rand(2, 3, 32, 32)

CODE = "code/__torch__/tests/checkpoints/reading/test_torchscript.py"

HEADER = """class Harmless(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.tests.checkpoints.reading.test_torchscript.Harmless, x: Tensor{more}) -> Tensor:
    {body}
    return torch.mean(x, [2, 3])
"""
"""The code of a network as it stands in a file, with a line more."""


class Harmless(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


class Descriptors(nn.Module):
    """A bit of everything that copy detectors do, with names that operators have as well."""

    def __init__(self) -> None:
        super().__init__()
        self.index = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.GELU(), nn.MaxPool2d(2))
        self.linear, self.classes, self.format = nn.Linear(8, 4), 4, 3.0

    def forward(self, x: Tensor) -> Tensor:
        x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = functional.pad(self.index(x), [1, 1, 1, 1], mode="reflect")
        for repeat in range(2):
            if x.shape[1] > repeat:
                x = x + x.roll(1, dims=2)
        assert x.ndim == 4, f'not "images": {x.shape}\n\té'
        x = x.clamp(min=1e-6).pow(self.format).mean((2, 3)).pow(1 / self.format)
        return functional.normalize(self.linear(x.flatten(1)))


class Restored(nn.Module):
    """Writes a file while it is loaded."""

    @torch.jit.export
    def __getstate__(self) -> str:
        return "written"

    @torch.jit.export
    def __setstate__(self, state: str) -> None:
        self.training = False
        torch.save(state, state)

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            if x.shape[0] > 0:
                torch.save(x, "written")
        return x.mean(dim=(2, 3))


def write_first(module: Harmless, given: tuple[Tensor]) -> tuple[Tensor]:
    torch.save(given, "written")
    return given


def compiled(module: nn.Module) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(module)


def saved(module: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module.save(str(path))
    return path


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the members of a harmless script's archive."""
    with zipfile.ZipFile(saved(compiled(Harmless()), tmp_path_factory.mktemp("harmless") / "a.pt")) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist() if "debug" not in name}


def packed(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr("m/" + name, content)
    return file.getvalue()


def with_code(members: dict[str, bytes], body: str, more: str = "") -> dict[str, bytes]:
    return members | {CODE: HEADER.format(body=body, more=more).encode()}


def written(path: Path, members: dict[str, bytes]) -> Path:
    path.write_bytes(packed(members))
    return path


def run_unguarded(path: Path) -> None:
    """Run a script as the guard would not let it."""
    network: Callable[[Tensor], Tensor] = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    network(IMAGES)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        'torch.save(x, "written")',
        'torch . save(x, "written")',
        'torch. save(x, "written")',
        'ops.aten.save(x, "written")',
        'ops . aten . save(x, "written")',
        'ops.aten. \\\n      save(x, "written")',
        '(ops.aten. # see below\n      save)(x, "written")',
        'f = torch.save\n    f(x, "written")',
        't = torch\n    t.autograd.save(x, "written")',
        'o = ops\n    a = o.aten\n    a.save(x, "written")',
        'getattr(torch, "save")(x, "written")',
        'getattr(torch, "sa" "ve")(x, "written")',
        'getattr(torch, "sa\\166e")(x, "written")',
        "getattr(torch, 'save')(x, 'written')",
        'getattr(ops, "aten").save(x, "written")',
        'x = torch.add(x, torch.sum(torch.from_file("written", True, 4)))',
        'y = """ " """\n    torch.save(x, "written" + " ")',
    ],
)
def test_code_that_writes_is_refused_however_it_is_spelt(members: dict[str, bytes], body: str, tmp_path: Path) -> None:
    (tmp_path / "bad.pt").write_bytes(packed(with_code(members, body)))
    with pytest.raises(UnsafeCheckpoint, match=r"bad\.pt: code/.*, which could reach files\. It is not run"):
        Descriptor.of(tmp_path / "bad.pt")
    assert list(tmp_path.iterdir()) == [tmp_path / "bad.pt"]
    run_unguarded(tmp_path / "bad.pt")
    assert len(list(tmp_path.iterdir())) == 2, "this spelling is one that torch runs"


def test_default_values_which_torch_computes_while_it_loads_are_checked(
    members: dict[str, bytes], tmp_path: Path
) -> None:
    more = ', y: Tensor=torch.from_file("written", True, 4)'
    (tmp_path / "bad.pt").write_bytes(packed(with_code(members, "pass", more)))
    with pytest.raises(UnsafeCheckpoint, match="uses from_file, which could reach files"):
        load_script(tmp_path / "bad.pt")
    assert not (tmp_path / "written").exists()
    torch.jit.load(str(tmp_path / "bad.pt"))  # type: ignore[no-untyped-call]
    assert (tmp_path / "written").exists()


@pytest.mark.parametrize(
    "body",
    [
        'ops.image.write_file("written", x)',
        "o = ops",
        "o = ops.image",
        "y = __torch__.torch.classes.quantized.LinearPackedParamsBase",
        "y = __torch__ .torch. classes",
        "t = __torch__.torch",
        "t = __torch__",
        "z = ops.prim.PythonOp(x)",
        'z = ops.prim.rpc_sync("a")',
        "y = 1.\n    ops.image.read_file(x)",
    ],
)
def test_other_libraries_and_their_classes_are_refused(members: dict[str, bytes], body: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match=r"could reach files\. It is not run"):
        load_script(written(tmp_path / "bad.pt", with_code(members, body)))


@pytest.mark.parametrize(
    "body", ["y = 1  # ", "y = 1\r", "y = 1\\\n", "y = 'a'", 'y = "a" "b"', "ünsave = 1", "y = 1x"]
)
def test_code_that_torch_never_writes_is_refused(members: dict[str, bytes], body: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match="as torch does not write it"):
        load_script(written(tmp_path / "bad.pt", with_code(members, body)))


def test_a_class_in_cpp_among_pickled_objects_is_refused(members: dict[str, bytes], tmp_path: Path) -> None:
    for number, separator in enumerate((b".", b"\n")):
        path = tmp_path / f"{number}.pt"
        path.write_bytes(packed(members | {"data.pkl": b"\x80\x02c__torch__.torch" + separator + b"classes.a\nB\n."}))
        with pytest.raises(UnsafeCheckpoint, match=r"data\.pkl holds an object of a class in C\+\+"):
            load_script(path)


def test_code_that_runs_while_the_file_loads_is_refused(tmp_path: Path) -> None:
    path = saved(compiled(Restored()), tmp_path / "bad.pt")
    with pytest.raises(UnsafeCheckpoint, match="could reach files"):
        load_script(path)
    assert not (tmp_path / "written").exists()
    run_unguarded(path)
    assert (tmp_path / "written").exists()


def test_capitals_hide_no_code(members: dict[str, bytes], tmp_path: Path) -> None:
    bad = with_code(members, 'torch.save(x, "written")')
    bad[CODE.title()] = bad.pop(CODE)
    (tmp_path / "bad.pt").write_bytes(packed(bad))
    with pytest.raises(UnsafeCheckpoint, match="could reach files"):
        Descriptor.of(tmp_path / "bad.pt")
    (tmp_path / "both.pt").write_bytes(packed(bad | {CODE: members[CODE]}))
    with pytest.raises(UnsafeCheckpoint, match="two of its members have one name"):
        Descriptor.of(tmp_path / "both.pt")
    assert not (tmp_path / "written").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_of_two_members_of_one_name_neither_is_run(members: dict[str, bytes], tmp_path: Path) -> None:
    bad = with_code(members, 'torch.save(x, "written")')
    with zipfile.ZipFile(tmp_path / "both.pt", "w") as archive:
        for name, content in (*bad.items(), (CODE, members[CODE])):
            archive.writestr("m/" + name, content)
    with pytest.raises(UnsafeCheckpoint, match="two of its members have one name"):
        load_script(tmp_path / "both.pt")


def test_two_archives_in_one_file_of_which_torch_reads_the_other_are_refused(
    members: dict[str, bytes], tmp_path: Path
) -> None:
    """Python counts offsets from the end of the file, and torch from its beginning."""
    bad, good = (packed(with_code(members, f'torch.{name}(x, "written")')) for name in ("save", "norm"))
    end = good.rindex(b"PK\5\6")
    (tmp_path / "two.pt").write_bytes(bad[:end] + good)
    with zipfile.ZipFile(tmp_path / "two.pt") as archive:
        assert b"torch.norm" in archive.read(f"m/{CODE}")
    with pytest.raises(UnsafeCheckpoint, match=r"test_torchscript\.py says depends on who reads it"):
        Descriptor.of(tmp_path / "two.pt")
    assert not (tmp_path / "written").exists()
    run_unguarded(tmp_path / "two.pt")
    assert (tmp_path / "written").exists()


def test_a_member_that_only_one_reader_sees_is_refused(members: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "long.pt").write_bytes(packed(members | {f"code/{'a' * 600}.py": b"torch.save"}))
    with pytest.raises((UnsafeCheckpoint, UnreadableCheckpoint)):
        load_script(tmp_path / "long.pt")


def hooked() -> nn.Module:
    module = Harmless()
    module.register_forward_pre_hook(write_first)
    return module


@pytest.mark.parametrize("module", [Branching, hooked])
def test_what_torch_understood_is_checked_before_it_is_called(
    module: Callable[[], nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "_check_code", lambda programs: None)
    with pytest.raises(UnsafeCheckpoint, match=r"it uses aten::save, which could reach files\. It is not run"):
        Descriptor.of(saved(compiled(module()), tmp_path / "bad.pt"))
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("kind", ["prim::PythonOp", "prim::CallMethod", "image::read_file", "aten::unheard_of"])
def test_nodes_that_nobody_knows_are_refused(kind: str) -> None:
    with pytest.raises(UnsafeCheckpoint, match=kind):
        scripts._check_kinds({"prim::If", "aten::conv2d", kind})


@pytest.mark.parametrize("how", ["scripted", "traced"])
def test_networks_load_and_describe(how: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Descriptors().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = compiled(module) if how == "scripted" else torch.jit.trace(module, IMAGES)  # type: ignore[no-untyped-call]
    path = saved(program, tmp_path / "good.pt")
    assert is_script(path)
    torch.testing.assert_close(load_script(path)(IMAGES), module(IMAGES))
    found = Descriptor.of(path)([encode(picture(seed)) for seed in range(2)])
    np.testing.assert_allclose(np.linalg.norm(found.astype(np.float32), axis=1), 1, atol=2e-3)


def test_a_damaged_archive_is_unreadable(members: dict[str, bytes], tmp_path: Path) -> None:
    whole = packed(members)
    at = whole.index(members[CODE])
    (tmp_path / "flipped.pt").write_bytes(whole[:at] + b"X" + whole[at + 1 :])
    (tmp_path / "less.pt").write_bytes(packed({name: members[name] for name in members if name != "data.pkl"}))
    for name in ("flipped.pt", "less.pt"):
        with pytest.raises(UnreadableCheckpoint, match=f"{name} is no TorchScript that loads"):
            load_script(tmp_path / name)
