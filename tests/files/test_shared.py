"""One cache for several users: two real ones where the tests run as root, else one and its rights."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
import torch
from live import until

from search.data import cache
from search.data.base import Split
from search.data.digits import Digits
from search.errors import SearchError
from search.files import shared
from search.files.arrays import heard
from search.study.storage.open import connect
from search.train.frozen import activations

ROOT = os.getuid() == 0
ANN, BOB, STAFF = 54321, 54322, 54320


def search_as(user: int, cache_home: Path, splits: str = "val", umask: str = "022") -> str:
    """Decode the digits and keep activations as `user`: how many images, and whether anything was new; what was said.

    In a fork of this process: another user may not be able to start this Python.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([STAFF])
            os.setgid(user)
            os.setuid(user)
            os.umask(int(umask, 8))
            os.environ["XDG_CACHE_HOME"] = str(cache_home)
            os.write(writing, _searched(splits).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    os.waitpid(child, 0)
    return text


def _searched(splits: str) -> str:
    decoded, computed, said = list[int](), list[range](), list[str]()

    def compute(rows: range) -> torch.Tensor:
        computed.append(rows)
        return torch.ones(len(rows), 2)

    try:
        with heard(said.append):
            images = cache.load(Digits(Path()), None, cast("list[Split]", splits.split()), lambda *n: decoded.extend(n))
            activations.load("k", 600, torch.ones(1, 2), compute)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return " ".join([f"{len(images[0].labels)} {bool(decoded)} {bool(computed)}", *said])


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that every user can reach; any pytest that starts closes the folder of `tmp_path` to others."""
    if not ROOT:
        pytest.skip("only root can be two users")
    cache.load(Digits(Path()), None, ["test"])  # what is imported late, another user may not be able to read
    with TemporaryDirectory() as made:
        for folder in (Path(made), *Path(made).parents):
            if folder.stat().st_mode & 0o077 == 0:
                folder.chmod(folder.stat().st_mode | 0o011)
        (Path(made) / "cache").mkdir()
        yield Path(made) / "cache"


@pytest.mark.parametrize("umask", ["022", "077"])
def test_a_folder_of_a_group_is_the_group_s(home: Path, umask: str) -> None:
    os.chown(home, 0, STAFF)
    home.chmod(0o2775)
    assert search_as(ANN, home, umask=umask) == "449 True True"
    assert search_as(BOB, home, umask=umask) == "449 False False"
    assert search_as(BOB, home, "test", umask) == "450 True False"
    assert search_as(ANN, home, "test val", umask) == "450 False False"
    pixels = next(home.glob("search/*/val/pixels.npy"))
    pixels.write_bytes(bytes(pixels.stat().st_size))  # each may mend what the other made
    said = search_as(BOB, home)
    assert said.startswith("449 True False")
    assert "decoded again" in said


def test_what_another_s_umask_closed_is_made_again_beside_it(home: Path) -> None:
    home.chmod(0o1777)
    assert search_as(ANN, home, umask="077") == "449 True True"
    assert search_as(BOB, home, umask="077") == "449 True True"
    assert search_as(BOB, home, umask="077") == "449 False False"
    assert {path.name.rpartition(".")[2] for path in home.glob("search/digits-*.*")} == {str(BOB)}


def test_in_a_sticky_folder_others_read_and_nobody_writes_over(home: Path) -> None:
    home.chmod(0o1777)
    assert search_as(ANN, home) == "449 True True"
    assert search_as(BOB, home) == "449 False False"
    assert search_as(BOB, home, "test") == "450 True False"
    for path in home.glob("search/digits-*"):
        assert path.stat().st_mode & 0o022 == 0


def test_who_may_only_read_uses_what_is_there(home: Path) -> None:
    os.chown(home, ANN, ANN)
    assert search_as(ANN, home) == "449 True True"
    assert search_as(BOB, home) == "449 False False"
    said = search_as(BOB, home, "test")
    assert "Permission denied" in said
    assert "XDG_CACHE_HOME=DIR names another place" in said


def test_a_folder_of_one_s_own_stays_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        shared.make(tmp_path / "a" / "b")
        (tmp_path / "a" / "b" / "file").touch()
        shared.share_all(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "a" / "b" / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(ROOT, reason="root may write anywhere")
def test_an_unwritable_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "closed"))
    with pytest.raises(SearchError, match=r"cannot be used: .* XDG_CACHE_HOME=DIR names another place"):
        cache.load(Digits(Path()), None, ["val"])


@pytest.mark.parametrize("what", ["images", "storage"])
def test_a_wait_for_another_process_is_said(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be stopped, and then the wait has no end."""
    for name in ("XDG_CACHE_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(shared, "PATIENCE", 0.1)
    uses: dict[str, Callable[[], Any]] = {
        "images": lambda: cache.load(Digits(Path()), None, ["val"]),
        "storage": lambda: connect(f"sqlite:///{tmp_path}/studies.db"),
    }
    uses[what]()
    for built in tmp_path.glob("search/digits-*/val"):
        shutil.rmtree(built)
    (lock,) = (*tmp_path.glob("search/digits-*/lock"), *tmp_path.glob("search-*/*.lock"))
    said: list[str] = []

    def waits() -> None:
        with heard(said.append):
            uses[what]()

    with ThreadPoolExecutor() as pool:
        with shared.lock(lock):
            using = pool.submit(waits)
            until(lambda: said or using.done(), "the line")
            assert not using.done()
        using.result()
    does = {"images": "decodes the same images", "storage": "opens the same storage"}[what]
    assert said == [f"waiting for another process, which {does} and has {lock}"]
