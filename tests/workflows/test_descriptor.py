from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.dedup.conftest import encode, fill, picture
from transfer import cli
from transfer.dedup.decoding import thumbnail
from transfer.dedup.index import open_index, read_shard
from transfer.dedup.overlap import read_overlap
from transfer.errors import BadOption, UnreadableCheckpoint, UnsafeCheckpoint
from transfer.workflows.descriptor import Descriptor

pytestmark = pytest.mark.filterwarnings(
    r"ignore:`torch\.jit\..*:FutureWarning", r"ignore:`torch\.jit\..*:DeprecationWarning"
)

FILES = [encode(picture(seed)) for seed in range(3)]


class Convolved(nn.Module):
    """A copy detector returns this: a vector for an image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 8, 7, stride=4)

    def forward(self, images: Tensor) -> Tensor:
        return self.convolution(images).relu().mean(dim=(2, 3))


class Reads(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3)) + torch.from_file("/etc/hostname", size=1)


class Writes(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        torch.save(images, "written")
        return images.mean(dim=(2, 3))


class Harmless(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


class Pairs(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images.mean(dim=(2, 3)), images


def script(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(path))
    return path


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return script(Convolved(), tmp_path_factory.mktemp("scripts") / "tiny.torchscript.pt")


def test_a_script_describes_with_unit_length(scripted: Path) -> None:
    found = Descriptor.of(scripted)(FILES)
    assert (found.shape, found.dtype) == ((3, 8), np.float16)
    np.testing.assert_allclose(np.linalg.norm(found.astype(np.float32), axis=1), 1, atol=2e-3)
    assert not np.allclose(found[0], found[1], atol=1e-3)


def test_a_converted_backbone_describes_as_well(checkpoint: Path) -> None:
    found = Descriptor.of(checkpoint)(FILES)
    assert (found.shape, found.dtype) == ((3, 512), np.float16)
    np.testing.assert_allclose(np.linalg.norm(found.astype(np.float32), axis=1), 1, atol=2e-3)


def test_the_same_image_has_the_same_descriptor_in_any_batch(scripted: Path) -> None:
    describe = Descriptor.of(scripted)
    together = describe([*FILES, FILES[0]])
    np.testing.assert_array_equal(together[0], together[3])
    np.testing.assert_allclose(describe(FILES[:1])[0], together[0], atol=2e-3)
    recompressed = describe([encode(picture(0), quality=60)])[0]
    assert float(recompressed.astype(np.float32) @ together[0]) > 0.99


def test_images_of_every_kind_are_described(scripted: Path) -> None:
    grey = picture(0)[:, :, 0]
    found = Descriptor.of(scripted)([encode(grey), encode(grey, "PNG"), encode(np.dstack([picture(0), grey]), "PNG")])
    assert found.shape == (3, 8)


@pytest.mark.parametrize("module", [Reads(), Writes()])
def test_a_script_that_reaches_files_is_refused(module: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match=r"could reach files\. It is not run"):
        Descriptor.of(script(module, tmp_path / "bad.pt"))


def test_a_script_that_hides_its_code_behind_a_second_member_is_refused(tmp_path: Path) -> None:
    bad, good = (
        zipfile.ZipFile(script(module, tmp_path / name)) for module, name in ((Reads(), "a"), (Harmless(), "b"))
    )
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "both.pt", "w") as both, bad, good:
        warnings.simplefilter("ignore")  # of the second one
        for archive, kind in ((bad, ""), (good, ".py")):
            for name in archive.namelist():
                if name.endswith(kind):
                    both.writestr("m/" + name.partition("/")[2].replace("Harmless", "Reads"), archive.read(name))
    with pytest.raises(UnsafeCheckpoint, match=r"could reach files\. It is not run"):
        Descriptor.of(tmp_path / "both.pt")


def test_what_is_no_network_is_refused(tmp_path: Path, scripted: Path) -> None:
    with pytest.raises(UnreadableCheckpoint, match="there is no file"):
        Descriptor.of(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(UnreadableCheckpoint):
        Descriptor.of(tmp_path / "text.pt")
    (tmp_path / "cut.pt").write_bytes(scripted.read_bytes()[:2000])
    with pytest.raises(UnreadableCheckpoint):
        Descriptor.of(tmp_path / "cut.pt")


def test_a_script_that_returns_no_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableCheckpoint):
        Descriptor.of(script(Pairs(), tmp_path / "pairs.pt"))(FILES)


def test_only_the_same_file_may_describe_both_sides(scripted: Path, tmp_path: Path) -> None:
    describe = Descriptor.of(scripted)
    describe.check_same(describe.identity, tmp_path)
    with pytest.raises(BadOption, match="was made without a descriptor, not by tiny"):
        describe.check_same(None, tmp_path)
    with pytest.raises(BadOption, match=r"was described by sscd\.pt \(0{12}\), not by tiny.*Name the same file"):
        describe.check_same({"name": "sscd.pt", "sha256": "0" * 64}, tmp_path)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return fill(tmp_path / "corpus", range(4))


def run(*arguments: object) -> int:
    return cli.main(["dedup", *map(str, arguments)])


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])  # each starts torch
def test_a_described_index_finds_and_counts(
    scripted: Path, corpus: Path, tmp_path: Path, processes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    index, output, more = (
        tmp_path / "c.index",
        tmp_path / "o.json",
        ("--descriptor", scripted, "--processes", processes),
    )
    assert run("index", corpus, "-o", index, *more) == 0
    opened = open_index(index)
    assert opened.attributes["descriptor"] == Descriptor.of(scripted).identity
    (shard,) = (read_shard(index, made) for made in opened.shards)
    assert shard.descriptors is not None and shard.descriptors.shape == (4, 8)
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "copy.jpg").write_bytes(encode(picture(0)[10:-10, 10:-10]))  # far in every hash
    assert run("check", index, tests, "-o", output, "--cosine", "0.9", *more) == 0
    overlap = read_overlap(output)
    assert overlap.thresholds["cosine"] == 0.9 and overlap.counts["cosine"]["0.6"] == 1
    assert "cosine 0.6: 1 images" in capsys.readouterr().out
    (pair,) = overlap.pairs
    assert (pair["corpus"], pair["verdict"], pair["evidence"]) == ("000.jpg", "duplicate", "pixels")
    assert pair["cosine"] >= 0.9 and pair["distance"] > 64


def test_an_index_of_another_descriptor_is_refused(
    scripted: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = script(Harmless(), tmp_path / "other.pt")
    assert run("index", corpus, "-o", tmp_path / "plain.index") == 0
    assert run("index", corpus, "-o", tmp_path / "other.index", "--descriptor", other) == 0
    for name, was in (("plain", "made without a descriptor"), ("other", "described by other.pt")):
        check = "check", tmp_path / f"{name}.index", corpus, "-o", tmp_path / "o.json"
        assert run(*check, "--descriptor", scripted) == 1
        assert was in capsys.readouterr().err
        assert run(*check) == 0, "hashes can always be compared"


def test_describing_again_makes_other_shards_and_the_same_content(scripted: Path, corpus: Path, tmp_path: Path) -> None:
    assert run("index", corpus, "-o", tmp_path / "c.index") == 0
    before = json.loads((tmp_path / "c.index/manifest.json").read_text())
    assert run("index", corpus, "-o", tmp_path / "c.index", "--descriptor", scripted) == 0
    after = json.loads((tmp_path / "c.index/manifest.json").read_text())
    assert before["sha256"] == after["sha256"]
    assert before["shards"][0]["file"] != after["shards"][0]["file"]
    assert len(list((tmp_path / "c.index/shards").iterdir())) == 1


def test_an_image_that_only_opencv_decodes_is_skipped(scripted: Path, corpus: Path, tmp_path: Path) -> None:
    data = bytearray(encode(picture(0), "TIFF", compression="tiff_lzw"))
    data[len(data) // 2 : len(data) // 2 + 4] = bytes(4)
    (corpus / "damaged.tif").write_bytes(data)
    assert thumbnail(bytes(data)).shape == (64, 64)
    assert run("index", corpus, "-o", tmp_path / "c.index", "--descriptor", scripted) == 0
