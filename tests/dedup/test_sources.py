from __future__ import annotations

import errno
import gzip
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from tests.dedup.conftest import encode, fill, picture
from transfer.dedup.sources import files, regular
from transfer.dedup.sources import parquet as parquet_source
from transfer.dedup.sources.files import pieces_of
from transfer.dedup.sources.inputs import find_pieces, read_images, read_piece
from transfer.dedup.sources.pieces import Piece
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
    wanted = [
        "a.jpg",
        "B.PNG",
        "deep/er/c.JPeG",
        "deep/d.webp",
        "with space.tiff",
        "ü.gif",
        "e.jfif",
        "f.jpe",
        "g.avif",
    ]
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
    assert found == {
        "linked.jpg": IMAGE,
        "gone.jpg": "cannot be read: No such file or directory",
        "folder/": "a link to a folder is not followed",
    }


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that cannot be read, whoever runs the tests."""
    scandir = os.scandir

    def refused(path: str) -> object:
        if Path(path).name == "secret":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    return fill(tmp_path / "images" / "deep" / "secret", [0])


def test_a_folder_that_cannot_be_read_is_listed(secret: Path) -> None:
    folder = fill(secret.parents[1], [1])
    pieces = find_pieces([folder])
    found = entries(*pieces)
    assert list(found) == ["001.jpg", "deep/secret/"]
    assert found["deep/secret/"] == "folder cannot be read: Permission denied"
    assert pieces == find_pieces([folder])
    (folder / "roses").symlink_to(secret, target_is_directory=True)
    assert [new.key != old.key for new, old in zip(find_pieces([folder]), pieces, strict=True)] == [False, True]


def test_nothing_but_what_is_left_out_is_no_images(secret: Path) -> None:
    with pytest.raises(
        MissingData, match=r"holds no images.* deep/secret/: folder cannot be read: Permission denied\."
    ):
        find_pieces([secret.parents[1]])


@pytest.mark.parametrize("target", ["pipe", "/dev/zero", "folder"])
@pytest.mark.parametrize("suffix", ["jpg", "tar", "parquet"])
def test_what_is_no_regular_file_is_not_read(tmp_path: Path, target: str, suffix: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    images = fill(tmp_path / "images", [0])
    (images / f"link.{suffix}").symlink_to(tmp_path / target)
    found = entries(*find_pieces([images]))
    assert found.pop("000.jpg") == IMAGE
    (reason,) = found.values()
    assert "not a regular file" in str(reason) or "a link to a folder" in str(reason)


@pytest.mark.parametrize("name", ["../secret.jpg", "deep/../../secret.jpg", "{outside}/secret.jpg", "a\0.jpg"])
def test_names_that_lead_out_of_a_folder_are_not_opened(tmp_path: Path, name: str) -> None:
    """An overlap, where they come from, may be anyone's."""
    fill(tmp_path / "images" / "deep", [0])
    (tmp_path / "secret.jpg").write_bytes(IMAGE)
    asked = name.format(outside=tmp_path)
    ((found, data),) = read_images("files", tmp_path / "images", [asked])
    assert found == asked and isinstance(data, CorruptImage)
    assert str(data) in ("its name leads out of its folder", "cannot be read: embedded null byte")


def test_a_large_folder_is_cut_into_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "AT_ONCE", 2)
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


def test_a_list_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (fill(tmp_path, [0, 1]) / "list.txt").write_text("000.jpg\n001.jpg\n", encoding="utf-8-sig")
    assert entries(*find_pieces([tmp_path / "list.txt"])) == {
        name: (tmp_path / name).read_bytes() for name in ("000.jpg", "001.jpg")
    }


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


def tarred(images: Mapping[str, bytes], padded: bool = True) -> bytes:
    """An archive, if not `padded` with its two blocks of zeros and no more."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in images.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        end = archive.offset
    return file.getvalue() if padded else file.getvalue()[: end + 1024]


TEN = {f"{number}.jpg": bytes([number + 1]) * 700 for number in range(10)}  # three blocks each
SIXTH = 5 * 3 * 512
WHOLE = tarred(TEN)
END = 10 * 3 * 512


@pytest.mark.parametrize(
    ("data", "read", "reason"),
    [
        (WHOLE[: SIXTH + 7] + b"?" + WHOLE[SIXTH + 8 :], 5, "a damaged header, or something behind its end"),
        (WHOLE[: SIXTH + 100], 5, "it is cut off"),
        (WHOLE[:SIXTH], 5, "it is cut off"),
        (WHOLE[:END], 10, "it is cut off"),
        (WHOLE[: END + 512], 10, "it is cut off"),
        (WHOLE[:SIXTH] + bytes(512) + WHOLE[SIXTH:], 5, "a damaged header, or something behind its end"),
        (WHOLE[:SIXTH] + bytes(1024) + WHOLE[SIXTH:], 5, "a damaged header, or something behind its end"),
        (WHOLE + WHOLE, 10, "a damaged header, or something behind its end"),
        (WHOLE[:SIXTH] + bytes(2**21), 5, "more than 1 MiB of zeros"),
    ],
    ids=[
        "flipped",
        "in a header",
        "between members",
        "no end",
        "half an end",
        "a block",
        "two blocks",
        "twice",
        "zeros",
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_an_archive_never_ends_early_without_a_word(
    tmp_path: Path, data: bytes, read: int, reason: str, compressed: bool
) -> None:
    (tmp_path / "a.tar").write_bytes(gzip.compress(data) if compressed else data)
    found = entries(*find_pieces([tmp_path / "a.tar"]))
    assert found == {
        **{name: TEN[name] for name in [*TEN][:read]},
        "(the rest of the archive)": f"damaged archive: {reason}",
    }


def test_a_flipped_bit_in_a_compressed_archive_is_noticed(tmp_path: Path) -> None:
    """Bytes of an image are in a stored block as they are, so that only the checksum tells."""
    data = bytearray(gzip.compress(WHOLE, 0))
    data[data.index(TEN["3.jpg"]) + 300] ^= 1
    (tmp_path / "a.tar.gz").write_bytes(data)
    found = entries(*find_pieces([tmp_path / "a.tar.gz"]))
    assert [*found][:-1] == [*TEN] and "CRC check failed" in str(found["(the rest of the archive)"])


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("cut", [None, 1000])
def test_two_blocks_of_zeros_and_any_number_of_streams_are_a_whole_archive(
    tmp_path: Path, padded: bool, cut: int | None
) -> None:
    data = tarred(TEN, padded)
    streams = gzip.compress(data[:cut]) + (gzip.compress(data[cut:]) if cut else b"")
    for content in (data, streams):
        (tmp_path / "a.tar").write_bytes(content)
        assert entries(*find_pieces([tmp_path / "a.tar"])) == TEN


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read(tmp_path: Path, form: int) -> None:
    names = [f"{'ü' * 150}/{number}.jpg" for number in range(3)]
    with tarfile.open(tmp_path / "a.tar", "w", format=form, pax_headers={"comment": "ours"}) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    assert entries(*find_pieces([tmp_path / "a.tar"])) == dict.fromkeys(names, b"")


def header(kind: bytes, size: int, name: str = "a.jpg") -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


def changed(block: bytes, at: int, new: bytes) -> bytes:
    """A header with other bytes and a valid checksum."""
    block = block[:at] + new + block[at + len(new) :]
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


SPARSE = changed(header(tarfile.GNUTYPE_SPARSE, 0), 482, b"\1")
MORE_SPARSE = b"00000000001\0" * 42 + b"\1" + bytes(7)
BACKWARDS = changed(header(tarfile.REGTYPE, 0, "a.txt"), 124, b"\xff" + (256**11 - 512).to_bytes(11, "big"))
KINDS = [
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        *((header(kind, 2**25) + bytes(2**25) + header(b"0", 0), "headers larger than 64 KiB") for kind in KINDS),
        (SPARSE + MORE_SPARSE * 2**14, "headers larger than 64 KiB"),
        (header(tarfile.XGLTYPE, 0) * 5000, "headers larger than 64 KiB"),
        (BACKWARDS, "a header that leads backwards"),
    ],
    ids=["pax", "pax of all", "solaris", "long name", "long link", "sparse", "one in another", "backwards"],
)
def test_headers_take_neither_memory_nor_time(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(header(b"0", 0, "whole.jpg") + data + bytes(1024), 1))
    found = entries(*find_pieces([path]))
    assert found.pop("whole.jpg") == b""
    assert [*found] == ["(the rest of the archive)"]
    assert str(found["(the rest of the archive)"]).startswith(f"damaged archive: {reason}")


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


def test_in_a_folder_a_parquet_without_images_is_listed(tmp_path: Path) -> None:
    """img2dataset writes one next to each archive."""
    write_tar(tmp_path / "a.tar", {"x.jpg": IMAGE})
    write_parquet(tmp_path / "a.parquet", {"url": ["http://a/1"]})
    (tmp_path / "b.parquet").write_bytes(b"damaged")
    pieces = find_pieces([tmp_path])
    assert [(piece.kind, piece.source) for piece in pieces] == [
        ("tar", f"{tmp_path.name}/a.tar"),
        ("files", tmp_path.name),
    ]
    found = entries(*pieces)
    assert found["x.jpg"] == IMAGE
    assert str(found["a.parquet"]).startswith("no column holds encoded images")
    assert str(found["b.parquet"]).startswith("not a parquet file") and str(tmp_path) not in str(found["b.parquet"])


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [(("mask", "content", "jpg"), "jpg"), (("bytes", "image"), "image"), (("mask", "depth"), "mask")],
)
def test_of_several_columns_of_bytes_one_called_as_images_are_is_read(
    tmp_path: Path, columns: tuple[str, ...], chosen: str
) -> None:
    path = write_parquet(tmp_path / "a.parquet", {name: [name.encode()] for name in columns})
    assert entries(*find_pieces([path])) == {"0/0": chosen.encode()}


MEMORY = """
import sys
from pathlib import Path
from transfer.dedup.sources.inputs import find_pieces, read_piece
(piece,) = find_pieces([Path(sys.argv[1])])
print(sum(len(data) for _, data in read_piece(piece)))
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def test_a_row_group_of_gigabytes_is_read_row_by_row(tmp_path: Path) -> None:
    """1,024 rows share a dictionary of one value: pages, which are decompressed whole, are small."""
    zeros = bytes(2**20)
    path = write_parquet(tmp_path / "a.parquet", {"image": pyarrow.array([zeros] * 1024, pyarrow.large_binary())})
    assert path.stat().st_size < 2**20
    done = subprocess.run([sys.executable, "-c", MEMORY, path], capture_output=True, check=True, text=True)
    read, most = map(int, done.stdout.split())
    assert (read, most < 500_000) == (2**30, True), most  # KiB


def test_of_a_row_group_what_is_whole_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_source, "ROWS", 2)
    values = [bytes([at]) * 999 for at in range(9)]
    pages: dict[str, Any] = {"use_dictionary": False, "data_page_size": 1, "write_batch_size": 3}
    plain = {"compression": None, "write_statistics": False}
    path = write_parquet(tmp_path / "a.parquet", {"image": values}, **pages, **plain)
    data = bytearray(path.read_bytes())
    start = data.index(values[6])
    data[start - 31 : start - 10] = bytes([255]) * 21  # the third page's header, before its levels and a length
    pieces = find_pieces([path])
    path.write_bytes(data)
    found = entries(*pieces)
    assert str(found.pop("row group 0")).startswith("damaged parquet: ")
    assert found == {f"0/{at}": values[at] for at in range(6)}


def test_damaged_parquet(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"image": [bytes([at]) * 999 for at in range(99)]}, compression=None)
    pieces = find_pieces([path])
    data = bytearray(path.read_bytes())
    data[:300] = bytes(300)
    path.write_bytes(data)
    found = entries(*pieces)
    assert list(found) == ["row group 0"] and str(found["row group 0"]).startswith("damaged parquet: ")
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(BadOption, match=r"a\.parquet: not a parquet file"):
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
    """A further one renames none that was there before it: that would be hashed again."""
    given = (("a", "x"), ("b", "x"), ("c", "y"), ("d", "x-2"), ("e", "x"))
    inputs = [fill(tmp_path / parent / name, [0]) for parent, name in given]
    pieces = find_pieces(inputs)
    assert [piece.source for piece in pieces] == ["x", "x-3", "y", "x-2", "x-4"]
    assert find_pieces(inputs[:1]) == pieces[:1]


def test_what_cannot_be_images(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"nowhere does not exist\. Name folders, images, \.tar or \.parquet"):
        find_pieces([tmp_path / "nowhere"])
    with pytest.raises(MissingData, match=r"holds no images: expected \.avif, \.bmp, .*, tar or parquet"):
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
    monkeypatch.setattr(regular, "MOST_BYTES", 1000)
    (tmp_path / "a.jpg").write_bytes(bytes(1001))
    write_tar(tmp_path / "b.tar", {"c.jpg": bytes(1001), "d.jpg": bytes(1000)})
    write_parquet(tmp_path / "e.parquet", {"image": [bytes(1001), bytes(1000)]})
    assert entries(*find_pieces([tmp_path])) == {
        "a.jpg": "larger than 256 MiB",
        "c.jpg": "larger than 256 MiB",
        "d.jpg": bytes(1000),
        "0/0": "larger than 256 MiB",
        "0/1": bytes(1000),
    }


def test_a_file_that_is_larger_than_it_says_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regular, "MOST_BYTES", 2**20)
    found = regular.read_file(Path("/proc/self/status"))  # of 0 bytes
    assert isinstance(found, bytes) and len(found) > 100


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
