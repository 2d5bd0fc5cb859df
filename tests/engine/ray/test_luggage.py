"""What travels to the nodes of a cluster, and what each of them makes of it."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from search.engine.ray import luggage
from search.engine.ray.luggage import Files, copy_of, unpacked_here
from search.errors import SearchError


def folder(place: Path) -> Path:
    (place / "inner").mkdir(parents=True)
    (place / "space.py").write_text("space = 1")
    (place / "inner" / "helper.py").write_text("pace = 0.1")
    return place


def test_a_folder_that_ray_unpacks_again_meanwhile_is_copied_whole(tmp_path: Path) -> None:
    source, target = folder(tmp_path / "source"), tmp_path / "target"
    files = Files.of(source)
    shutil.rmtree(source)

    def unpack() -> None:
        time.sleep(0.2)
        source.mkdir()
        (source / "space.py").write_text("space = 1")
        time.sleep(0.2)
        (source / "inner").mkdir()
        (source / "inner" / "helper.py").write_text("pace = 0.1")

    thread = threading.Thread(target=unpack)
    thread.start()
    copy_of(source, target, files)
    thread.join()
    assert Files.of(target) == files
    (target / "written").write_text("by the training")
    (target / "space.py").unlink()
    copy_of(source, target, files)
    assert (target / "written").exists()
    assert (target / "space.py").read_text() == "space = 1"


def test_a_folder_that_stays_away_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder(tmp_path / "source")
    files = Files.of(source)
    monkeypatch.setattr(luggage, "_PATIENCE", 0.2)
    (source / "inner" / "helper.py").unlink()
    with pytest.raises(SearchError, match=f"the folder of the space file is not whole: {source}"):
        copy_of(source, tmp_path / "target", files)
    shutil.rmtree(source)
    with pytest.raises(SearchError, match="cannot be copied"):
        copy_of(source, tmp_path / "other", files)


def test_the_working_directory_has_a_name_even_where_it_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(tmp_path / "source")
    monkeypatch.chdir(source)
    shutil.rmtree(source)
    assert unpacked_here() == source


def test_a_folder_that_is_too_large_to_travel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    (source / "runs").mkdir(parents=True)
    for name in ("space.py", "helper.py", "runs/large"):
        (source / name).write_bytes(bytes(100))
    os.mkfifo(source / "pipe")
    monkeypatch.setattr(luggage, "MOST", 200)
    there = luggage._gather(source, tmp_path / "there")
    assert sorted(path.name for path in there.iterdir()) == ["helper.py", "space.py"]
    (source / "weights.pth").write_bytes(bytes(100))
    with pytest.raises(SearchError, match="lie beside the space file"):
        luggage._gather(source, tmp_path / "again")
