from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.dedup.conftest import encode, fill, make_index, picture
from transfer.dedup.index import (
    NO_ATTRIBUTES,
    Index,
    blocks,
    finish_index,
    lock_index,
    make_shard,
    open_index,
    prepare_index,
    read_shard,
    read_sources,
    shard_path,
)
from transfer.dedup.shards import Shard, hash_piece
from transfer.dedup.sources import files
from transfer.dedup.sources.inputs import find_pieces
from transfer.dedup.sources.pieces import Piece
from transfer.errors import BadOption, UnusableIndex


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images a shard."""
    monkeypatch.setattr(files, "AT_ONCE", 2)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Seven images, one of them broken."""
    folder = fill(tmp_path / "images", range(6))
    (folder / "006.jpg").write_bytes(b"broken")
    return folder


@pytest.fixture
def index(images: Path, tmp_path: Path) -> Index:
    return make_index(tmp_path / "corpus.index", [images])


def times(folder: Path) -> dict[str, int]:
    """Return when each shard was written."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / "shards").iterdir()}


def manifest_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return found


def read_all(index: Index) -> list[Shard]:
    return [read_shard(index.folder, made) for made in index.shards]


def test_an_index_counts_and_lists(index: Index) -> None:
    assert (index.images, index.skipped, len(index.shards)) == (6, 1, 4)
    assert [name for shard in read_all(index) for name in shard.names] == [f"00{seed}.jpg" for seed in range(6)]
    skipped = [json.loads(line) for line in (index.folder / "skipped.jsonl").read_text().splitlines()]
    assert skipped == [{"image": "images/006.jpg", "reason": "not an image"}]
    assert index.identity == {
        "name": "corpus.index",
        "images": 6,
        "skipped": 1,
        "sha256": index.sha256,
        "descriptor": None,
        "parts": None,
    }


def test_a_finished_index_is_not_made_again(index: Index, images: Path) -> None:
    before = times(index.folder)
    assert make_index(index.folder, [images]) == index
    assert times(index.folder) == before


def test_the_same_images_have_the_same_sha256_wherever_they_are(index: Index, images: Path, tmp_path: Path) -> None:
    images.rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "000.jpg").rename(tmp_path / "elsewhere" / "0.jpg")
    assert make_index(tmp_path / "other.index", [tmp_path / "elsewhere"]).sha256 == index.sha256


def test_the_same_images_have_the_same_sha256_however_they_are_packed(
    index: Index, images: Path, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        archive.add(images, "images")
    packed = make_index(tmp_path / "other.index", [tmp_path / "images.tar"])
    assert (len(packed.shards), packed.sha256) == (1, index.sha256)
    (images / "copy.jpg").write_bytes((images / "000.jpg").read_bytes())
    assert make_index(tmp_path / "third.index", [images]).sha256 != index.sha256


def test_an_interrupted_index_goes_on_where_it_stopped(index: Index, images: Path, tmp_path: Path) -> None:
    folder, pieces = tmp_path / "again.index", find_pieces([images])
    prepare_index(folder, pieces)
    done: list[Piece] = []

    def work(piece: Piece) -> Shard:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(piece)
        return hash_piece(piece)

    with pytest.raises(KeyboardInterrupt):
        [make_shard(folder, piece, NO_ATTRIBUTES, work) for piece in pieces]
    with pytest.raises(UnusableIndex, match=r"again\.index is unfinished: expected manifest\.json in it"):
        open_index(folder)
    before = times(folder)
    assert len(before) == 2
    assert make_index(folder, [images]).sha256 == index.sha256
    assert manifest_of(folder) == manifest_of(index.folder)
    after = times(folder)
    assert len(after) == 4 and before.items() <= after.items()


KILLED = """
import os, signal, sys
from pathlib import Path
from transfer.dedup import shards
from transfer.dedup.sources import files
from transfer.dedup.index import NO_ATTRIBUTES, make_shard, prepare_index, shard_path
from transfer.dedup.sources.inputs import find_pieces

def save(*given):
    global written
    written += 1
    if written == 3:
        name = shard_path(folder, pieces[2], NO_ATTRIBUTES).name
        (folder / "shards" / f".{name}.{os.uname().nodename}.{os.getpid()}.tmp").write_bytes(b"half a sha")
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given)

files.AT_ONCE, written, real = 2, 0, shards.save
shards.save, folder, pieces = save, Path(sys.argv[2]), find_pieces([Path(sys.argv[1])])
prepare_index(folder, pieces)
for piece in pieces:
    make_shard(folder, piece, NO_ATTRIBUTES, shards.hash_piece)
"""


def test_a_process_killed_while_it_wrote_leaves_nothing_in_the_way(index: Index, images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed.index"
    done = subprocess.run([sys.executable, "-c", KILLED, images, folder], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    before = times(folder)
    assert sorted(path.endswith(".tmp") for path in before) == [False, False, True]
    assert make_index(folder, [images]).sha256 == index.sha256
    after, kept = times(folder), {name: at for name, at in before.items() if not name.endswith(".tmp")}
    assert len(after) == 4 and kept.items() <= after.items()


def test_changed_added_and_removed_images_are_hashed_again(index: Index, images: Path, tmp_path: Path) -> None:
    before = times(index.folder)
    (images / "002.jpg").write_bytes(encode(picture(12), quality=80))
    (images / "007.jpg").write_bytes(encode(picture(13)))
    (images / "006.jpg").unlink()
    (images / "005.jpg").unlink()
    again = make_index(index.folder, [images])
    assert again.sha256 == make_index(tmp_path / "fresh.index", [images]).sha256 != index.sha256
    assert (again.images, again.skipped) == (6, 0)
    assert (index.folder / "skipped.jsonl").read_text() == ""
    after = times(index.folder)
    assert set(after) == {made["file"] for made in again.shards}, "stale shards are gone"
    assert len(before.items() & after.items()) == 1, "only 000 and 001 are what they were"


def test_a_damaged_shard_is_made_again(index: Index, images: Path) -> None:
    path = index.folder / "shards" / index.shards[1]["file"]
    whole = path.read_bytes()
    for wrong in (whole[:-1], b"", whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(wrong)
        assert make_index(index.folder, [images]).sha256 == index.sha256
        assert path.read_bytes() == whole


def flip(data: bytes) -> bytes:
    return data[:-3] + bytes([data[-3] ^ 4]) + data[-2:]


@pytest.mark.parametrize("damage", [flip, lambda data: data[:-10], lambda data: b"", lambda data: data + b"\0"])
def test_a_damaged_shard_is_refused(index: Index, damage: Callable[[bytes], bytes]) -> None:
    path = index.folder / "shards" / index.shards[2]["file"]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UnusableIndex, match=f"{path.name} is damaged: its SHA-256 is not the manifest's"):
        read_all(open_index(index.folder))


def test_a_missing_shard_is_refused(index: Index) -> None:
    path = index.folder / "shards" / index.shards[2]["file"]
    path.unlink()
    with pytest.raises(UnusableIndex, match=f"{path.name} cannot be read: No such file"):
        read_all(open_index(index.folder))


def test_an_index_of_other_images_is_not_overwritten(index: Index, tmp_path: Path) -> None:
    before = manifest_of(index.folder)
    others = find_pieces([fill(tmp_path / "others", [7])])
    for name in ("sources.json", "manifest.json"):
        with pytest.raises(
            BadOption, match=r"also holds images of images, and this call .* would lose them\. Name all"
        ):
            prepare_index(index.folder, others)
        (index.folder / name).unlink()
        if name == "sources.json":
            assert manifest_of(index.folder) == before
    prepare_index(index.folder, others)  # nothing is known of what was there


def test_two_writers_of_one_index(index: Index) -> None:
    with lock_index(index.folder):
        second = lock_index(index.folder)
        with pytest.raises(BadOption, match="is being written by another call"):
            second.__enter__()
    with lock_index(index.folder):
        pass


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(UnusableIndex, match=r"is no corpus index: expected manifest\.json"):
        open_index(fill(tmp_path / "photos", [0]))
    with pytest.raises(UnusableIndex, match="is no corpus index"):
        open_index(tmp_path / "nowhere")
    for place in (tmp_path / "photos", tmp_path / "photos" / "000.jpg"):
        with pytest.raises(BadOption, match=r"exists and is no corpus index\. Name a new folder"):
            prepare_index(place, [])
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["000.jpg"]


@pytest.mark.parametrize(("key", "value"), [("hash", "dct64-sign-9"), ("schema", 2)])
def test_an_index_of_another_hash_version(index: Index, key: str, value: object) -> None:
    changed = {**manifest_of(index.folder), key: value}
    (index.folder / "manifest.json").write_text(json.dumps(changed))
    with pytest.raises(UnusableIndex, match=rf"{value}.*dct256-sign-area64-1.*cannot be compared\. Index the images"):
        open_index(index.folder)


KEYS = ("schema", "hash", "descriptor", "parts", "images", "skipped", "sha256", "shards")
SHARD_KEYS = ("file", "source", "images", "skipped", "sha256", "content")


@pytest.mark.parametrize("key", KEYS)
def test_a_manifest_without_a_key(index: Index, key: str) -> None:
    rest = {name: value for name, value in manifest_of(index.folder).items() if name != key}
    (index.folder / "manifest.json").write_text(json.dumps(rest))
    with pytest.raises(UnusableIndex, match=r"manifest\.json is damaged: "):
        open_index(index.folder)


@pytest.mark.parametrize("key", SHARD_KEYS)
def test_a_shard_of_the_manifest_without_a_key(index: Index, key: str) -> None:
    manifest = manifest_of(index.folder)
    del manifest["shards"][0][key]
    (index.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UnusableIndex, match=r"manifest\.json is damaged: "):
        open_index(index.folder)


def drop_a_shard(manifest: dict[str, Any]) -> None:
    manifest["shards"].pop()


def change_a_content(manifest: dict[str, Any]) -> None:
    manifest["shards"][0]["content"] = "0" * 64


def change_a_count(manifest: dict[str, Any]) -> None:
    manifest["images"] += 1


def name_a_file_by_number(manifest: dict[str, Any]) -> None:
    manifest["shards"][0]["file"] = 5


def count_below_zero(manifest: dict[str, Any]) -> None:
    less = manifest["shards"][0]["images"] + 1
    manifest["shards"][0]["images"] -= less
    manifest["images"] -= less


def put_text_for_shards(manifest: dict[str, Any]) -> None:
    manifest["shards"] = "none"


CONTRADICTIONS = (
    drop_a_shard, change_a_content, change_a_count, name_a_file_by_number, count_below_zero, put_text_for_shards
)  # fmt: skip


@pytest.mark.parametrize("change", CONTRADICTIONS)
def test_a_manifest_that_contradicts_itself(index: Index, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = manifest_of(index.folder)
    change(manifest)
    (index.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UnusableIndex, match=r"manifest\.json is damaged: "):
        open_index(index.folder)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"text"'])
def test_a_manifest_that_is_none(index: Index, text: bytes) -> None:
    (index.folder / "manifest.json").write_bytes(text)
    with pytest.raises(UnusableIndex, match=r"manifest\.json is damaged: .*Run `transfer dedup index` again"):
        open_index(index.folder)


def test_a_shard_outside_the_folder_is_not_read(index: Index, tmp_path: Path) -> None:
    made = {**index.shards[0], "file": "../../secret"}
    (tmp_path / "secret").write_bytes(b"x")
    with pytest.raises(UnusableIndex, match="shards/secret cannot be read"):
        read_shard(index.folder, made)


def test_an_index_is_shared_without_images_and_without_places(index: Index, images: Path, tmp_path: Path) -> None:
    assert read_sources(index.folder) == {"images": ("files", images)}
    copy = Path(shutil.move(index.folder, tmp_path / "copy"))
    shutil.rmtree(images)
    (copy / "sources.json").unlink()
    again = open_index(copy)
    assert (again.sha256, sum(len(shard.names) for shard in read_all(again))) == (index.sha256, 6)
    assert read_sources(copy) == {}


@pytest.mark.parametrize(
    "text",
    ["", "[1]", '{"images": 3}', '{"images": ["files"]}', '{"images": ["files", 5]}', '{"images": ["zip", "/"]}'],
)
def test_damaged_places(index: Index, text: str) -> None:
    (index.folder / "sources.json").write_text(text)
    with pytest.raises(UnusableIndex, match=r"sources\.json is damaged"):
        read_sources(index.folder)


def test_no_path_of_this_machine_is_in_what_is_shared(index: Index, tmp_path: Path) -> None:
    shared = [path for path in index.folder.rglob("*") if path.is_file() and path.name != "sources.json"]
    assert len(shared) == 6
    for path in shared:
        assert str(tmp_path).encode() not in path.read_bytes()
    assert str(tmp_path) in (index.folder / "sources.json").read_text()


def test_descriptors_and_hashes_name_shards(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (piece, *_) = find_pieces([images])
    names = {shard_path(tmp_path, piece, {**NO_ATTRIBUTES, "descriptor": sha256}) for sha256 in ("1", "2")}
    names.add(shard_path(tmp_path, piece, NO_ATTRIBUTES))
    names.add(shard_path(tmp_path, piece, {**NO_ATTRIBUTES, "parts": "1"}))
    monkeypatch.setattr("transfer.dedup.index.VERSION", "another")
    names.add(shard_path(tmp_path, piece, NO_ATTRIBUTES))
    assert len(names) == 5


def test_blocks_hold_every_shard_once(index: Index) -> None:
    for images in (1, 3, 4, 100):
        groups = list(blocks(index, images))
        assert [made for group in groups for made in group] == list(index.shards)
        assert all(sum(made["images"] for made in group) >= images for group in groups[:-1])


def test_an_index_of_no_shards(tmp_path: Path) -> None:
    prepare_index(tmp_path / "empty", [])
    assert finish_index(tmp_path / "empty", [], NO_ATTRIBUTES).images == 0
    assert list(blocks(open_index(tmp_path / "empty"), 5)) == []


def test_a_shard_that_is_there_is_not_worked_for(index: Index, images: Path) -> None:
    unwanted = partial(pytest.fail, "worked")
    made = [make_shard(index.folder, piece, NO_ATTRIBUTES, lambda _: unwanted()) for piece in find_pieces([images])]
    assert made == [dict(each) for each in index.shards]
