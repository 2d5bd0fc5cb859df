from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.files.atomic import distinct_name, file_name, ignores_case, write_text, write_whole


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
        ("Große_Suche.v2+x", "Große_Suche.v2+x"),
        ("a.", "a~"),
        ("a ", "a~"),
        ("../../etc/passwd", "-..-etc-passwd~"),
        ("a/b\\c:d", "a-b-c-d~"),
        ("..", "study~"),
        ("", "study~"),
        ("a\0b", "a-b~"),
        ("数" * 60, "数" * 60),
        ("数" * 100, "数" * 54 + "~"),
    ],
)
def test_a_plain_name_stays_and_any_other_is_cleaned_and_marked(name: str, safe: str) -> None:
    found, tilde, mark = file_name(name).partition("~")
    assert found + tilde == safe
    assert len(mark) == (16 if tilde else 0)


_close = st.text(st.sampled_from("aAä. -/~é\u0301\0ß"), max_size=6)  # names of these are alike most often


def _alike(name: str) -> st.SearchStrategy[str]:
    """What a file system, or a careless program, may take for `name`."""
    forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    tail = st.text(max_size=2).map(lambda end: name * 30 + end)
    own = [f"{name}.", f"{name} ", f".{name}", name.swapcase(), name.casefold(), name.replace("/", "-"), *forms]
    return st.sampled_from([*own, file_name(name), distinct_name(name, caseless=True)]) | tail


@given(st.data())
def test_two_names_have_two_file_names(data: st.DataObject) -> None:
    one = data.draw(_close | st.text())
    other = data.draw(_close | st.text() | _alike(one))
    if one != other:
        assert file_name(one) != file_name(other)
        found = [unicodedata.normalize("NFC", distinct_name(name, caseless=True)) for name in (one, other)]
        assert found[0].casefold() != found[1].casefold()


@given(st.lists(_close, min_size=2, max_size=3), st.lists(_close, min_size=2, max_size=3))
def test_marked_by_another_text(one: list[str], other: list[str]) -> None:
    names = [file_name("-vs-".join(names), json.dumps(names)) for names in (one, other)]
    assert (names[0] == names[1]) == (one == other)


def test_capitals_count_here(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "A").touch()
    two = len(list(tmp_path.iterdir())) == 2
    assert ignores_case(tmp_path) is not two
    assert ignores_case(tmp_path / "none") is not two
    assert (distinct_name("CIFAR", caseless=False), distinct_name("cifar", caseless=True)) == ("CIFAR", "cifar")
    assert distinct_name("CIFAR", caseless=True).startswith("CIFAR~")


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
