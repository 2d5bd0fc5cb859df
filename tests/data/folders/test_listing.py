"""What lies in a folder: files by name and real place, and what is left out, counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from search.data.folders.listing import File, endings, is_picture, list_folder
from search.errors import SearchError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    touch(tmp_path / "store" / "a.jpg", tmp_path / "store" / "deep" / "b.jpg", tmp_path / "pets" / "cat" / "c.jpg")
    root = tmp_path / "pets"
    (root / "dog").symlink_to(tmp_path / "store")
    (root / "cat" / "d.jpg").symlink_to(tmp_path / "store" / "a.jpg")
    (root / "cat" / "again").symlink_to(root)
    (root / "cat" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(root / "cat" / "pipe.jpg")
    found = list_folder(root)
    store = str((tmp_path / "store").resolve())
    assert found.files == [
        File("cat/c.jpg", str((root / "cat" / "c.jpg").resolve())),
        File("cat/d.jpg", f"{store}/a.jpg"),
        File("dog/a.jpg", f"{store}/a.jpg"),
        File("dog/deep/b.jpg", f"{store}/deep/b.jpg"),
    ]
    assert found.folders == {"cat", "dog", "dog/deep"}
    kinds = {"link to a folder above": 1, "link that leads nowhere": 1, "neither file nor folder": 1}
    assert found.left_out == kinds


def test_hidden_files_are_counted_and_litter_is_not(tmp_path: Path) -> None:
    litter = (".DS_Store", "._1.jpg", "Thumbs.db", "__MACOSX/cat/._1.jpg", "cat/desktop.ini", "cat/ehthumbs.db")
    touch(*(tmp_path / name for name in (*litter, ".hidden.jpg", ".git/x", "cat/1.jpg")))
    found = list_folder(tmp_path)
    assert [file.name for file in found.files] == ["cat/1.jpg"]
    assert found.left_out == {"hidden": 2}


def test_folders_that_a_system_or_a_program_keeps_are_hidden(tmp_path: Path) -> None:
    """They hold pictures: copies, thumbnails and deleted ones."""
    kept = (".ipynb_checkpoints/1-checkpoint.jpg", "@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "$RECYCLE.BIN/1.jpg")
    touch(*(tmp_path / name for name in (*kept, "lost+found/1", "cat/1.jpg", f"cat/{kept[0]}", f"cat/{kept[1]}")))
    found = list_folder(tmp_path)
    assert [file.name for file in found.files] == ["cat/1.jpg"]
    assert found.folders == {"cat"}
    assert found.left_out == {"hidden": 6}


def test_an_unreadable_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"gone: the folder cannot be read: No such file"):
        list_folder(tmp_path / "gone")


def test_all_endings_that_pillow_opens_are_pictures() -> None:
    wanted = {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".jp2",
        ".avif",
        ".webp",
        ".png",
        ".gif",
        ".bmp",
        ".tif",
        ".tga",
    }
    assert wanted <= endings()
    assert not endings() & {".eps", ".ps", ".mpg", ".h5", ".wmf", ".txt", ".heic", ".csv", ""}
    assert all(ending in Image.registered_extensions() for ending in endings())
    assert is_picture("a/B.JFIF")
    assert not is_picture("jpg")
