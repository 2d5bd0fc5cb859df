"""A cache whose files were changed by a disk, a crash or a person: said in one line, and made again."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from damage import DAMAGE

from search.data import cache
from search.data.digits import Digits
from search.errors import SearchError
from search.files import arrays
from search.files.arrays import heard


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "search"


def load() -> tuple[cache.Images, list[str]]:
    """The validation split of the digits, and what was said."""
    lines: list[str] = []
    with heard(lines.append):
        (images,) = cache.load(Digits(Path()), None, ["val"])
    return images, lines


@pytest.mark.parametrize("name", ["pixels.npy", "labels.npy", "index"])
def test_a_damaged_file_is_named_and_made_again(name: str, home: Path) -> None:
    right, lines = load()
    pixels, labels = np.array(right.pixels), right.labels
    assert lines == []
    file = home / right.key / name
    for kind, damage in DAMAGE.items():
        damage(file)
        assert cache.kept(right.key) is None, kind
        images, lines = load()
        assert len(lines) == 1, kind
        assert lines[0].startswith(f"{file.parent}: damaged, and decoded again: "), kind
        assert np.array_equal(images.pixels, pixels), kind
        assert np.array_equal(images.labels, labels), kind
        assert images[2:] == right[2:], kind
        assert load()[1] == [], kind


def test_other_classes_in_a_sound_record_do_not_pass(home: Path) -> None:
    """One digit of a class's name: JSON as before, and of the same length."""
    right, _ = load()
    index = home / right.key / "index"
    index.write_text(index.read_text().replace('"classes": ["0"', '"classes": ["8"'))
    images, lines = load()
    assert images.classes == right.classes
    assert "index: the checksum differs" in lines[0]


def test_a_split_that_is_sound_is_not_decoded_again(home: Path) -> None:
    right, _ = load()
    kept = (home / right.key / "pixels.npy").stat().st_ino
    DAMAGE["flipped in the middle"](home / Path(right.key).parent / "train" / "pixels.npy")
    _, lines = load()
    assert len(lines) == 1
    assert "the checksum of rows 0 to 511 differs" in lines[0] or "rows 512 to 1023 differs" in lines[0]
    assert (home / right.key / "pixels.npy").stat().st_ino == kept


def test_a_process_compares_checksums_once_and_lengths_each_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, _ = load()
    summed: list[int] = []
    whole = arrays.checksum
    monkeypatch.setattr(arrays, "checksum", lambda rows: summed.append(len(rows)) or whole(rows))  # type: ignore[func-returns-value]
    assert load()[1] == []
    assert summed == []
    DAMAGE["truncated"](home / right.key / "pixels.npy")
    assert "pixels.npy: no array (ValueError)" in load()[1][0]


def test_two_at_once_mend_it_once(home: Path) -> None:
    right, _ = load()
    DAMAGE["zeros"](home / right.key / "pixels.npy")
    said: list[str] = []

    def work() -> None:
        with heard(said.append):
            cache.load(Digits(Path()), None, ["val"])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(said) == 1


def test_without_a_listener_the_line_goes_to_standard_error(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (images,) = cache.load(Digits(Path()), None, ["val"])
    DAMAGE["half"](home / images.key / "labels.npy")
    cache.load(Digits(Path()), None, ["val"])
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"search: {home / images.key}: damaged, and decoded again: labels.npy: ")


def test_a_disk_that_loses_what_it_is_given_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, _ = load()
    DAMAGE["zeros"](home / right.key / "pixels.npy")
    monkeypatch.setattr(arrays, "describe", lambda array: {"crc32": [1], "shape": [], "dtype": ""})
    monkeypatch.setattr(cache, "describe", lambda array: {"crc32": [1], "shape": [], "dtype": "u1"})
    with pytest.raises(SearchError, match="damaged as soon as it was written"):
        load()
