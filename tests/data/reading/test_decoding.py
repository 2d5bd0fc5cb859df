"""Every unreadable file named at once, or left out and counted; what pictures are treated how."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, lay_out
from PIL import Image

from search.data import cache
from search.data.base import NoTestSplit, Split
from search.data.reading import summary
from search.data.reading.skipping import skipping
from search.data.registry import open_source
from search.errors import SearchError
from search.files import arrays


def pets(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "pets", {f"{part}/{label}": 3 for part in ("train", "val") for label in ("cat", "dog")})


def load(tmp_path: Path, *splits: Split) -> list[cache.Images]:
    return cache.load(open_source("imagefolder:pets", tmp_path), 16, splits or ("train", "val"))


def said(tmp_path: Path) -> list[str]:
    train, val = load(tmp_path)
    return summary.lines("imagefolder:pets", open_source("imagefolder:pets", tmp_path), {"train": train, "val": val})


def picture(home: Path, name: str, data: bytes) -> None:
    (home / "train" / "cat" / name).write_bytes(data)


def test_all_unreadable_files_are_listed_at_once(tmp_path: Path) -> None:
    home = pets(tmp_path)
    (home / "train" / "cat" / "1.png").write_bytes(b"")
    (home / "train" / "dog" / "0.png").write_bytes(encoded()[:-60])
    (home / "val" / "cat" / "2.png").write_bytes(b"text")
    with pytest.raises(SearchError) as error:
        load(tmp_path)
    text = str(error.value)
    assert "the image cannot be read" in text
    assert "; 2 more cannot be read (list: " in text
    assert text.endswith("leave it out with skip_broken=True")
    listed = Path(text.partition("(list: ")[2].partition(")")[0])
    lines = listed.read_text().splitlines()
    names = [line.partition("\t")[0].removeprefix(f"{home}/") for line in lines]
    assert names == ["train/cat/1.png", "train/dog/0.png", "val/cat/2.png"]
    assert "the file is empty" in lines[0]
    (home / "train" / "cat" / "1.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(SearchError, match="a pointer of Git LFS; `git lfs pull` brings the picture itself"):
        load(tmp_path)


def test_unreadable_files_are_left_out_if_the_user_says_so(tmp_path: Path) -> None:
    home = pets(tmp_path)
    before = load(tmp_path)[0]
    for name in ("train/cat/1.png", "val/dog/2.png"):
        (home / name).write_bytes(b"")
    with skipping(True):
        train, val = load(tmp_path)
        first, *notes = said(tmp_path)
    names = ["cat/0", "cat/2", "dog/0", "dog/1", "dog/2"]
    assert train.names == tuple(f"train/{name}.png" for name in names)
    assert train.labels.tolist() == [0, 0, 1, 1, 1]
    for row, name in enumerate(train.names):
        assert (train.pixels[row] == before.pixels[before.names.index(name)]).all()
    assert len(val.labels) == 5
    assert [name for name, _ in (*train.broken, *val.broken)] == ["train/cat/1.png", "val/dog/2.png"]
    assert first.startswith("pets: 2 classes, 5 + 5 images; left out: 2 unreadable (list: ")
    assert notes == ["pets: there is no test split"]
    with pytest.raises(SearchError, match=r"train/cat/1\.png: the image cannot be read: .*1 more"):
        load(tmp_path)  # the arrays are there, and the user did not say so this time


def test_a_class_of_unreadable_files_alone_is_refused(tmp_path: Path) -> None:
    home = pets(tmp_path)
    for i in range(3):
        (home / "val" / "dog" / f"{i}.png").write_bytes(b"")
    with skipping(True), pytest.raises(SearchError, match="no image of a split's class can be read: dog"):
        load(tmp_path)


def test_there_may_be_no_test_split(tmp_path: Path) -> None:
    pets(tmp_path)
    with pytest.raises(NoTestSplit, match=r"pets.*: the data set has no test split"):
        load(tmp_path, "test")


def test_one_file_in_two_splits_is_in_both_arrays(tmp_path: Path) -> None:
    lay_out(tmp_path / "images", {"": 6})
    rows = "".join(f"images/{i}.png,{i % 2},{'train' if i < 4 else 'val'}\n" for i in range(6))
    (tmp_path / "pets.csv").write_text(f"path,label,split\n{rows}images/0.png,0,val\n")
    train, val = cache.load(open_source("imagefolder:pets.csv", tmp_path), 16, ("train", "val"))
    assert (val.pixels[val.names.index("images/0.png")] == train.pixels[train.names.index("images/0.png")]).all()


def test_a_picture_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    home = pets(tmp_path)
    half = np.zeros((8, 16, 3), np.uint8)
    upright = Image.fromarray(np.concatenate([half, half + 255]))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways: to be turned by 90 degrees clockwise
    picture(home, "x.png", encoded(image=upright.rotate(90), exif=exif))
    train = load(tmp_path)[0]
    assert (train.pixels[train.names.index("train/cat/x.png")] == np.asarray(upright)).all()
    assert "pets: 1 image turned as their EXIF says, in training and validation" in said(tmp_path)


@pytest.mark.parametrize(("bits", "top"), [(8, 255), (10, 1023), (12, 4095), (14, 16383), (16, 65535)])
def test_pictures_of_few_bits_in_words_of_16(tmp_path: Path, bits: int, top: int) -> None:
    home = pets(tmp_path)
    ramp = np.linspace(0, top, 256).astype(np.uint16).reshape(16, 16)
    picture(home, "x.png", encoded(image=Image.fromarray(ramp)))
    train = load(tmp_path)[0]
    seen = train.pixels[train.names.index("train/cat/x.png")][..., 0].astype(int)
    assert np.abs(seen - np.arange(256).reshape(16, 16)).max() <= 1
    assert (f"pets: 1 image with {bits} bits in words of 16, in training and validation" in said(tmp_path)) == (
        bits < 16
    )


def test_flat_pictures_are_counted(tmp_path: Path) -> None:
    home = pets(tmp_path)
    picture(home, "x.png", encoded(image=Image.new("L", (20, 20), 7)))
    picture(home, "y.png", encoded(image=Image.fromarray(np.arange(60, dtype=np.uint8).reshape(6, 10) % 15)))
    assert "pets: 2 images nearly of one colour, in training and validation" in said(tmp_path)


def test_a_warning_of_pillow_is_counted_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    home = pets(tmp_path)
    picture(home, "x.png", encoded(image=Image.new("1", (40, 40))))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    begins = "pets: 1 image with a warning of Pillow (Image size (1600 pixels) exceeds"
    assert any(line.startswith(begins) for line in said(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_pictures_of_the_test_split_that_cannot_be_read_are_known_before_the_first_trial(tmp_path: Path) -> None:
    home = lay_out(pets(tmp_path), {"test/cat": 3, "test/dog": 3})
    whole = (home / "test" / "dog" / "0.png").read_bytes()
    for name in ("test/cat/1.png", "test/dog/0.png", "val/cat/2.png"):
        (home / name).write_bytes(whole[:-60])
    with pytest.raises(SearchError, match=r"the image cannot be read: .*; 2 more cannot be read \(list: "):
        load(tmp_path)
    others = {*cache.cache_root().rglob("test")}
    with skipping(True):
        assert said(tmp_path)[0].startswith("pets: 2 classes, 6 + 5 + 4 images; left out: 3 unreadable (list: ")
        assert {*cache.cache_root().rglob("test")} == others  # nothing of them is kept
        train, _, test = load(tmp_path, "train", "val", "test")
        assert (len(test.labels), test.broken) == (4, train.unread)
    with pytest.raises(SearchError, match="2 more cannot be read"):
        load(tmp_path)  # the arrays are there, and the user did not say so this time
    (record,) = {path for path in cache.cache_root().rglob("closed") if path.parent.name == Path(train.key).parent.name}
    arrays.write_record(record, {"content": train.identity.test})  # as an older version did
    with skipping(True):
        assert load(tmp_path)[0].unread == train.unread


def test_what_is_drawn_is_said(tmp_path: Path) -> None:
    lay_out(tmp_path / "pets", {"train/cat": 5, "train/dog": 5, "test/cat": 1, "test/dog": 1})
    how = "drawn class by class with a fixed seed"
    assert said(tmp_path)[1:] == [f"pets: validation is a fifth of the training pictures, {how}"]
    (tmp_path / "pets" / "train").rename(tmp_path / "more")
    (tmp_path / "pets").rename(tmp_path / "old")
    (tmp_path / "more").rename(tmp_path / "pets")
    assert said(tmp_path)[1:] == [f"pets: validation and test are a fifth of the pictures each, {how}"]
