"""Archives of pictures: read where they lie, and never trusted with a path."""

from __future__ import annotations

import io
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from pictures import encoded, lay_out

from search.data import cache
from search.data.folders.archive import Archive
from search.data.folders.imagefolder import ImageFolder
from search.errors import SearchError


def seen(path: Path) -> tuple[list[str], list[int]]:
    classes, splits = ImageFolder(path).splits()
    return classes, [len(items) for items in splits.values()]


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_an_archive_is_read_as_its_folder_is(tmp_path: Path, ending: str) -> None:
    home = lay_out(tmp_path / "pets", {f"Train/{label}": 5 for label in ("cat", "dog")})
    lay_out(home, {"Test/cat": 2, "Test/dog": 3})
    (home / "Train" / "cat" / "notes.txt").write_text("x")
    path = tmp_path / f"pets.{ending}"
    kinds = {"zip": "zip", "tar": "tar", "tar.gz": "gztar", "tgz": "gztar", "tar.bz2": "bztar", "tar.xz": "xztar"}
    shutil.move(shutil.make_archive(str(tmp_path / "made"), kinds[ending], tmp_path, "pets"), path)
    source, plain = ImageFolder(path), ImageFolder(home)
    assert seen(path) == seen(home) == (["cat", "dog"], [8, 2, 5])
    assert source.layout.left_out == plain.layout.left_out == {".txt": 1}
    assert [file.real for file in source.files()] == [str(path.resolve())]
    assert source.locate("pets/Train/cat/0.png") == f"{path}/pets/Train/cat/0.png"
    if ending in ("zip", "tgz"):
        packed, loose = (cache.load(one, 8, ("train", "test")) for one in (source, plain))
        for one, other in zip(packed, loose, strict=True):
            assert [f"pets/{name}" for name in other.names] == list(one.names)
            assert (one.pixels == other.pixels).all()


def test_a_table_in_an_archive(tmp_path: Path) -> None:
    home = lay_out(tmp_path / "pets", {"images": 10})
    (home / "labels.csv").write_text("path,label\n" + "".join(f"images/{i}.png,{'ab'[i % 2]}\n" for i in range(10)))
    shutil.make_archive(str(tmp_path / "pets"), "zip", home)
    assert seen(tmp_path / "pets.zip") == (["a", "b"], [6, 2, 2])


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def test_what_leads_out_of_an_archive_is_left_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(encoded())
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("../outside.png", str(outside), "cat/../../outside.png", "cat/1.png", "./dog/1.png", "cat/1.png"):
            tar.addfile(member(name, size=len(encoded())), io.BytesIO(encoded()))
        tar.addfile(member("cat/link.png", tarfile.SYMTYPE, str(outside)))
        tar.addfile(member("cat/hard.png", tarfile.LNKTYPE, "dog/1.png"))
        tar.addfile(member("cat/device.png", tarfile.CHRTYPE))
        tar.addfile(member(".git/1.png"))
    listing = Archive(path).listing()
    assert [file.name for file in listing.files] == ["cat/1.png", "dog/1.png"]
    assert listing.left_out == {
        "path that leads out of the archive": 3,
        "link in the archive": 3,
        "name that stands twice in the archive": 1,
        "hidden": 1,
    }
    before = sorted(tmp_path.iterdir())
    assert len(dict(Archive(path).read({"cat/1.png", "dog/1.png", "../outside.png"}))) >= 2
    assert sorted(tmp_path.iterdir()) == before


def test_a_huge_file_in_an_archive_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with path.open("wb") as file:
        file.write(member("cat/1.png", size=2 << 30).tobuf())
        file.truncate((2 << 30) + 1024)
    assert Archive(path).listing().left_out == {"larger than 1 GiB": 1}
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        zipped.writestr("a/1.png", encoded())
    data = bytearray((tmp_path / "x.zip").read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 2 << 30)  # the size that the directory claims
    (tmp_path / "x.zip").write_bytes(data)
    assert Archive(tmp_path / "x.zip").listing().left_out == {"larger than 1 GiB": 1}


@pytest.mark.parametrize("kind", ["zip", "gztar", "xztar"])
def test_a_damaged_archive_is_named(tmp_path: Path, kind: str) -> None:
    home = lay_out(tmp_path / "pets", {"cat": 5, "dog": 5})
    path = Path(shutil.make_archive(str(tmp_path / "pets"), kind, home))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SearchError, match=r"pets\.[\w.]+: the archive cannot be read: .*; copy or download it again"):
        ImageFolder(path).splits()


@pytest.mark.parametrize("kind", ["gztar", "bztar", "xztar", "tar"])
def test_a_flipped_byte_in_a_tar_is_no_end_of_it(tmp_path: Path, kind: str) -> None:
    """In the header of the last file but one, of which the tarfile module makes the end; or in a packed picture."""
    home = lay_out(tmp_path / "pets", {"cat": 5, "dog": 5})
    path = Path(shutil.make_archive(str(tmp_path / "pets"), kind, home))
    with tarfile.open(path) as tar:
        at = tar.getmembers()[-2].offset if kind == "tar" else path.stat().st_size // 2
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(SearchError, match=r"pets\.[\w.]+: the archive cannot be read: "):
        ImageFolder(path).splits()


def test_a_zip_of_windows_and_a_folder_of_archives(tmp_path: Path) -> None:
    home = tmp_path / "down"
    home.mkdir()
    with zipfile.ZipFile(home / "pets.zip", "w") as zipped:
        for i in range(10):
            zipped.writestr(f"pets\\{'cat' if i % 2 else 'dog'}\\{i}.png", encoded())
    assert seen(home / "pets.zip") == (["cat", "dog"], [6, 2, 2])
    assert cache.load(ImageFolder(home / "pets.zip"), 8, ("train",))[0].pixels.shape == (6, 8, 8, 3)
    with pytest.raises(SearchError, match=r"no pictures in it \(found: 1 \.zip\).*; imagefolder:.*/pets\.zip reads"):
        ImageFolder(home).splits()


def test_one_damaged_file_in_a_zip_is_one_file(tmp_path: Path) -> None:
    home = lay_out(tmp_path / "pets", {"cat": 5, "dog": 5})
    path = Path(shutil.make_archive(str(tmp_path / "pets"), "zip", home))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as zipped:
        info = zipped.getinfo("cat/2.png")
    start = info.header_offset + 30 + len(info.filename) + 20
    data[start] ^= 0xFF
    path.write_bytes(data)
    found = dict(Archive(path).read({"cat/1.png", "cat/2.png", "dog/1.png"}))
    assert isinstance(found["cat/2.png"], Exception)
    assert all(isinstance(found[name], bytes) for name in ("cat/1.png", "dog/1.png"))


def test_an_archive_with_names_that_are_not_utf8(tmp_path: Path) -> None:
    home = lay_out(tmp_path / "pets", {"\udcff": 5, "dog": 5})
    path = tmp_path / "pets.tar"
    with tarfile.open(path, "w", errors="surrogateescape") as tar:
        tar.add(home, ".")
    assert seen(path) == (["\\udcff", "dog"], [6, 2, 2])


def test_another_file_is_neither(tmp_path: Path) -> None:
    (tmp_path / "pets.rar").write_bytes(b"Rar!")
    with pytest.raises(SearchError, match=r"pets\.rar is neither a folder, nor an archive \(\.zip, \.tar,"):
        ImageFolder(tmp_path / "pets.rar")
    with pytest.raises(SearchError, match=r"no folder or file .*pets; did you mean 'pets\.rar'"):
        ImageFolder(tmp_path / "pets")
