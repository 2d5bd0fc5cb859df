"""Network file systems, told from a table of mounts; and what a source on one costs, file by file."""

from __future__ import annotations

import io
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search.data import cache
from search.data.registry import open_source
from search.files import mounts


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, str], None]:
    """Say, in a table of the kernel's form, that a folder is the mount point of a file system of this type."""
    table = tmp_path / "mounts"
    table.write_text("/dev/vda / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\n")
    monkeypatch.setattr(mounts, "_MOUNTS", table)

    def add(folder: Path, kind: str) -> None:
        place = str(folder).replace(" ", "\\040")
        table.write_text(f"{table.read_text()}nas:/export {place} {kind} rw,vers=4.2 0 0\n")

    return add


def test_the_mount_that_holds_the_path_decides(mount: Callable[[Path, str], None], tmp_path: Path) -> None:
    nas, inside = tmp_path / "my nas", tmp_path / "my nas" / "scratch"
    inside.mkdir(parents=True)
    mount(nas, "nfs4")
    mount(inside, "xfs")
    assert mounts.network_type(tmp_path) is None
    assert mounts.network_type(tmp_path / "my nas 2") is None
    assert mounts.network_type(nas) == "nfs4"
    assert mounts.network_type(nas / "not yet" / "there") == "nfs4"
    assert mounts.network_type(inside / "x") is None
    (tmp_path / "link").symlink_to(nas)
    assert mounts.network_type(tmp_path / "link" / "data") == "nfs4"
    mount(nas, "ext4")  # over the first, which it hides
    assert mounts.network_type(nas) is None


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "lustre", "fuse.sshfs", "fuse.rclone"])
def test_network_types(kind: str, mount: Callable[[Path, str], None], tmp_path: Path) -> None:
    mount(tmp_path, kind)
    assert mounts.network_type(tmp_path) == kind


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "fuseblk", "fuse.fuse-overlayfs", "zfs"])
def test_local_types(kind: str, mount: Callable[[Path, str], None], tmp_path: Path) -> None:
    mount(tmp_path, kind)
    assert mounts.network_type(tmp_path) is None


def test_this_machine_s_own_table_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mounts.network_type(Path("/proc/self")) is None
    monkeypatch.setattr(mounts, "_MOUNTS", tmp_path / "none")  # as on macOS
    assert mounts.network_type(tmp_path) is None


@contextmanager
def slow(folder: Path, delay: float = 0.0005) -> Iterator[Counter[str]]:
    """Count, and hold up, every stat, every opening and every listing of what is under `folder`."""
    counts: Counter[str] = Counter()

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(path: Any = ".", *args: Any, **kwargs: Any) -> Any:
            if isinstance(path, (str, os.PathLike)) and Path(os.fspath(path)).is_relative_to(folder):
                counts[name] += 1
                time.sleep(delay)
            return call(path, *args, **kwargs)

        return wrapper

    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((os, "stat"), (io, "open"), (os, "scandir")):
            patch.setattr(module, name, watched(name, getattr(module, name)))
        yield counts


FILES = 400


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with FILES pictures in four classes, and a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    noise = np.random.default_rng(0)
    for i in range(FILES):
        path = tmp_path / "nas" / "pets" / f"class {i % 4}" / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return tmp_path / "nas"


def test_a_source_on_a_network_is_read_once(mount: Callable[[Path, str], None], pictures: Path) -> None:
    mount(pictures, "nfs4")
    progress: list[tuple[int, int]] = []
    with slow(pictures) as first:
        cache.load(open_source("imagefolder:pets", pictures), 8, ("train", "val"), lambda *done: progress.append(done))
    used = FILES * 4 // 5  # the test split is not decoded; its files are read once, for what tells it from others
    assert first["open"] <= FILES + 3 * 32  # a glimpse of some, each time it is asked which they are
    assert progress[-1] == (used, used)
    with slow(pictures) as second:
        cache.load(open_source("imagefolder:pets", pictures), 8, ("train", "val"), lambda *done: progress.append(done))
    assert second["open"] <= 3 * 32
    assert second["scandir"] <= 1 + 4
    assert second["stat"] <= 2 * 110  # a hundred of the files, and the folder itself, for the side and for the key
    assert len(progress) == 2
    # What comes, goes or is renamed is seen.
    (pictures / "pets" / "class 0" / "000.png").rename(pictures / "pets" / "class 0" / "new.png")
    with slow(pictures) as third:
        cache.load(open_source("imagefolder:pets", pictures), 8, ("train",))
    assert third["open"] > 200


def test_on_a_local_disk_every_file_is_looked_at(mount: Callable[[Path, str], None], pictures: Path) -> None:
    source = open_source("imagefolder:pets", pictures)
    with slow(pictures, 0) as counts:
        before = source.fingerprint()
        assert source.fingerprint() == before
    assert FILES <= counts["stat"] <= FILES + 10  # one look a file
    changed = pictures / "pets" / "class 1" / "001.png"
    changed.write_bytes(changed.read_bytes() + b" ")
    assert open_source("imagefolder:pets", pictures).fingerprint() != before


def test_an_archive_is_not_read_to_know_it_again(shared_data: Path) -> None:
    with slow(shared_data, 0) as counts:
        open_source("caltech101", shared_data).fingerprint()
    assert counts["open"] <= 3 + 4  # a glimpse of it, and of train.txt and test.txt
