from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from tests.dedup.conftest import encode, fill, picture
from transfer.dedup import sources
from transfer.dedup.sources import Piece, find_pieces, pieces_of, read_images, read_piece
from transfer.errors import BadOption, CorruptImage, MissingData

IMAGE = encode(picture(0))


def write_tar(path: Path, members: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_parquet(path: Path, columns: Mapping[str, Any], **options: Any) -> Path:
    parquet.write_table(pyarrow.table(dict(columns)), path, **options)
    return path


def entries(*pieces: Piece) -> dict[str, bytes | str]:
    """Name → bytes, or the reason why there are none, of all images."""
    read = [
        (name, str(data) if isinstance(data, CorruptImage) else data)
        for each in pieces
        for name, data in read_piece(each)
    ]
    found = dict(read)
    assert len(found) == len(read), "every name once"
    return found


def test_a_folder_is_walked_and_hidden_things_are_left_out(tmp_path: Path) -> None:
    wanted = ["a.jpg", "B.PNG", "deep/er/c.JPeG", "deep/d.webp", "with space.tiff", "ü.gif"]
    for name in [*wanted, ".hidden.jpg", ".git/e.jpg", "notes.txt", "f.jpg.part", "deep/labels.json"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (piece,) = find_pieces([tmp_path])
    assert (piece.kind, piece.source, piece.members) == ("files", tmp_path.name, tuple(sorted(wanted)))
    assert entries(piece) == {name: name.encode() for name in wanted}


def test_links_to_files_are_read_and_links_to_folders_are_not(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", [0])
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "linked.jpg").symlink_to(tmp_path / "elsewhere" / "000.jpg")
    (folder / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (folder / "folder").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    found = entries(*find_pieces([folder]))
    assert found == {"linked.jpg": IMAGE, "gone.jpg": "cannot be read: No such file or directory"}


def test_a_large_folder_is_cut_into_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "AT_ONCE", 2)
    pieces = find_pieces([fill(tmp_path, range(5))])
    assert [piece.members for piece in pieces] == [("000.jpg", "001.jpg"), ("002.jpg", "003.jpg"), ("004.jpg",)]
    assert len({piece.key for piece in pieces}) == 3
    assert pieces == pieces_of(tmp_path.name, tmp_path, ["004.jpg", "002.jpg", "003.jpg", "000.jpg", "001.jpg"])


def test_a_list_names_files_below_it_once(tmp_path: Path) -> None:
    folder = fill(tmp_path / "images", [0, 1])
    (folder / "list.txt").write_text(f"001.jpg\n\n  ./000.jpg  \n{folder / '001.jpg'}\nmissing.jpg\n")
    found = entries(*find_pieces([folder / "list.txt"]))
    assert list(found) == ["001.jpg", "000.jpg", "missing.jpg"]
    assert found["missing.jpg"] == "cannot be read: No such file or directory"


@pytest.mark.parametrize("absolute", [False, True])
def test_a_list_of_files_elsewhere_names_them_below_what_they_share(tmp_path: Path, absolute: bool) -> None:
    near, far = fill(tmp_path / "data" / "near", [1]), fill(tmp_path / "data" / "far", [2])
    (tmp_path / "lists").mkdir()
    start = tmp_path / "data" if absolute else Path("../data")
    (tmp_path / "lists" / "list.txt").write_text(f"{start}/near/001.jpg\n{start}/far/002.jpg\n")
    found = entries(*find_pieces([tmp_path / "lists" / "list.txt"]))
    assert found == {"near/001.jpg": (near / "001.jpg").read_bytes(), "far/002.jpg": (far / "002.jpg").read_bytes()}


def test_one_image(tmp_path: Path) -> None:
    (tmp_path / "one.PNG").write_bytes(IMAGE)
    assert entries(*find_pieces([tmp_path / "one.PNG"])) == {"one.PNG": IMAGE}


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.TGZ", "w:gz"), ("a.tar", "w:gz")])
def test_an_archive_gives_its_images(tmp_path: Path, name: str, mode: str) -> None:
    samples = {
        f"n/{at:03}.{kind}": f"{at} {kind}".encode() for at in range(3) for kind in ("jpg", "json", "txt", "cls")
    }
    path = write_tar(tmp_path / name, samples, mode)
    (piece,) = find_pieces([path])
    assert (piece.kind, piece.source) == ("tar", name)
    assert entries(piece) == {name: data for name, data in samples.items() if name.endswith("jpg")}
    assert dict(read_images("tar", path, ["n/001.jpg", "n/007.jpg"])) == {"n/001.jpg": b"1 jpg"}


def test_folders_and_links_in_an_archive_are_no_images(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (
            ("folder.jpg", tarfile.DIRTYPE),
            ("link.jpg", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    assert entries(*find_pieces([tmp_path / "a.tar"])) == {}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_truncated_archive_gives_what_is_whole_and_says_so(tmp_path: Path, mode: str) -> None:
    images = {f"{seed}.jpg": encode(picture(seed)) for seed in range(6)}
    path = write_tar(tmp_path / "a.tar", images, mode)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = entries(*find_pieces([path]))
    reason = found.pop("(the rest of the archive)")
    assert isinstance(reason, str) and reason.startswith("damaged archive: ")
    assert str(tmp_path) not in reason
    whole = list(found.items())
    assert 1 <= len(whole) < 6 and whole == list(images.items())[: len(whole)]


@pytest.mark.parametrize("data", [b"", b"no archive" * 99, gzip.compress(b"no archive" * 99)], ids=["", "text", "gzip"])
def test_what_is_no_archive_is_one_entry_that_says_so(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    assert [*entries(*find_pieces([tmp_path / "a.tar"]))] == ["(the rest of the archive)"]


def test_parquet_as_hugging_face_writes_it(tmp_path: Path) -> None:
    values = [
        {"bytes": b"one", "path": "1.jpg"},
        {"bytes": b"two", "path": None},
        {"bytes": None, "path": "3.jpg"},
        None,
    ]
    path = write_parquet(tmp_path / "a.parquet", {"label": [1, 2, 3, 4], "image": values}, row_group_size=3)
    pieces = find_pieces([path])
    assert [(piece.kind, piece.source, piece.members) for piece in pieces] == [
        ("parquet", "a.parquet", ("0",)),
        ("parquet", "a.parquet", ("1",)),
    ]
    assert entries(*pieces) == {"0/0/1.jpg": b"one", "0/1": b"two", "0/2/3.jpg": "empty", "1/0": "empty"}
    assert dict(read_images("parquet", path, ["0/1", "1/0"])).keys() == {"0/1", "1/0"}


@pytest.mark.parametrize("kind", [pyarrow.binary(), pyarrow.large_binary()])
def test_parquet_of_plain_bytes_beside_their_names(tmp_path: Path, kind: Any) -> None:
    columns = {"url": ["http://a/1", "http://a/2"], "jpg": pyarrow.array([b"one", b"two"], kind)}
    found = entries(*find_pieces([write_parquet(tmp_path / "a.parquet", columns)]))
    assert found == {"0/0/http://a/1": b"one", "0/1/http://a/2": b"two"}


def test_parquet_without_images_names_what_it_has(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"text": ["cat"], "label": [1]})
    with pytest.raises(BadOption, match=r"no column holds encoded images .* found text \(string\), label \(int64\)"):
        find_pieces([path])


def test_damaged_parquet(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"image": [bytes([at]) * 999 for at in range(99)]}, compression=None)
    pieces = find_pieces([path])
    data = bytearray(path.read_bytes())
    data[:300] = bytes(300)
    path.write_bytes(data)
    found = entries(*pieces)
    assert list(found) == ["row group 0"] and str(found["row group 0"]).startswith("damaged parquet: ")
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(BadOption, match=r"a\.parquet is not a parquet file"):
        find_pieces([path])


def test_a_folder_of_archives_names_each(tmp_path: Path) -> None:
    fill(tmp_path / "loose", [0])
    for name in ("b.tar", "deep/a.tar"):
        (tmp_path / "deep").mkdir(exist_ok=True)
        write_tar(tmp_path / name, {"x.jpg": IMAGE})
    write_parquet(tmp_path / "c.parquet", {"image": [IMAGE]})
    found = [(piece.kind, piece.source) for piece in find_pieces([tmp_path])]
    top = tmp_path.name
    assert found == [
        ("files", top),
        ("tar", f"{top}/b.tar"),
        ("parquet", f"{top}/c.parquet"),
        ("tar", f"{top}/deep/a.tar"),
    ]


def test_inputs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    inputs = [
        fill(tmp_path / parent / name, [0]) for parent, name in (("a", "x"), ("b", "x"), ("c", "y"), ("d", "x-1"))
    ]
    labels = [piece.source for piece in find_pieces(inputs)]
    assert labels[2:] == ["y", "x-1"] and len(set(labels)) == 4
    assert all(label.startswith("x-") for label in labels[:2])


def test_what_cannot_be_images(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"nowhere does not exist\. Name folders, images, \.tar or \.parquet"):
        find_pieces([tmp_path / "nowhere"])
    with pytest.raises(MissingData, match=r"holds no images: expected \.bmp, \.gif, .*, tar or parquet"):
        find_pieces([tmp_path])
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(MissingData, match="holds no images"):
        find_pieces([tmp_path / "empty.txt"])
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(BadOption, match=r"bytes\.txt is no list of files: expected UTF-8 text"):
        find_pieces([tmp_path / "bytes.txt"])
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(BadOption, match=r"a\.zip is no folder, image, \.tar"):
        find_pieces([tmp_path / "a.zip"])


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_BYTES", 1000)
    (tmp_path / "a.jpg").write_bytes(bytes(1001))
    write_tar(tmp_path / "b.tar", {"c.jpg": bytes(1001), "d.jpg": bytes(1000)})
    found = entries(*find_pieces([tmp_path]))
    assert found == {"a.jpg": "larger than 0 MiB", "c.jpg": "larger than 0 MiB", "d.jpg": bytes(1000)}


def test_images_that_are_gone_say_so(tmp_path: Path) -> None:
    for kind in ("tar", "parquet", "files"):
        ((name, found),) = read_images(kind, tmp_path / "gone", ["0/1"])
        assert name == "0/1" and isinstance(found, CorruptImage)


def test_the_key_changes_with_the_content_and_only_then(tmp_path: Path) -> None:
    folder = fill(tmp_path / "here" / "images", [0, 1])
    write_tar(folder / "a.tar", {"x.jpg": IMAGE})
    write_parquet(folder / "b.parquet", {"image": [IMAGE]})

    def keys() -> list[str]:
        return [piece.key for piece in find_pieces([folder])]

    before = keys()
    assert keys() == before
    folder.rename(tmp_path / "images")
    folder = tmp_path / "images"
    assert keys() == before, "another place is the same content"
    for at, name in enumerate(("001.jpg", "a.tar", "b.parquet")):
        stat = (folder / name).stat()
        os.utime(folder / name, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        assert [new != old for new, old in zip(keys(), before, strict=True)] == [at == place for place in range(3)]
        before = keys()
    (folder / "000.jpg").write_bytes(encode(picture(9)))
    assert [new != old for new, old in zip(keys(), before, strict=True)] == [True, False, False]
    before = keys()
    fill(folder, [3])
    assert [new != old for new, old in zip(keys(), before, strict=True)] == [True, False, False]
