from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.files.atomic import file_name, write_text, write_whole


@given(st.text())
def test_a_file_name_is_one_part_of_a_path_that_a_file_system_takes(name: str) -> None:
    safe = file_name(name)
    assert safe
    assert Path(safe).name == safe
    assert not safe.startswith(".")
    assert len(f".{safe}.trial-10000.yaml.1234567.part".encode()) <= 255


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("alexnet caltech-2", "alexnet caltech-2"),
        ("../../etc/passwd", "-..-etc-passwd"),
        ("a/b\\c:d", "a-b-c-d"),
        ("..", "study"),
        ("", "study"),
        ("数" * 100, "数" * 60),
    ],
)
def test_file_names(name: str, safe: str) -> None:
    assert file_name(name) == safe


def test_text_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    write_text(path, "old")
    write_text(path, "naïve\n")
    assert path.read_text(encoding="utf-8") == "naïve\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_no_half_of_the_new(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def half(part: Path) -> None:
        part.write_text("ha")
        assert path.read_text() == "old"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_half_written_goes_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "a[1].txt"
    killed = """
import os, pathlib, signal, sys
from search.files.atomic import write_whole
write_whole(pathlib.Path(sys.argv[1]), lambda part: (part.write_text("ha"), os.kill(os.getpid(), signal.SIGKILL)))
"""
    subprocess.run([sys.executable, "-c", killed, str(path)], check=False)
    assert len(list(tmp_path.iterdir())) == 1

    def whole(part: Path) -> None:
        assert list(tmp_path.iterdir()) == []
        part.write_text("whole")

    write_whole(path, whole)
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]
