"""Where the pictures of a table are looked for: found in one place, or refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pictures import lay_out

from search.data import cache
from search.data.folders.imagefolder import ImageFolder
from search.errors import SearchError


def table(path: Path, count: int = 10, form: str = "{i}.png,{label}", header: str = "path,label") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [form.format(i=i, label="cat" if i % 2 else "dog") for i in range(count)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(SearchError) as error:
        ImageFolder(path).splits()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("form", ["{i}.png,{label}", "{i},{label}", "images\\{i}.png,{label}"])
@pytest.mark.parametrize("named", ["labels/train.csv", "labels", ""])
def test_pictures_in_a_folder_beside_the_tables_are_found_and_it_is_said(tmp_path: Path, form: str, named: str) -> None:
    """The table and its folder may be named, or the folder around."""
    home = lay_out(tmp_path / "data" / "pets", {"images": 12})
    table(home / "labels" / "train.csv", form=form)
    source = ImageFolder(home / named)
    classes, splits = source.splits()
    assert classes == ["cat", "dog"]
    assert [len(items) for items in splits.values()] == [6, 2, 2]
    where = "the paths of the table are read from .." + ("" if "\\" in form else "/images")
    assert where in source.layout.notes
    assert source.layout.left_out["pictures that the table does not name"] == 2
    (train,) = cache.load(source, 8, ("train",))
    right = cache.load(ImageFolder(table(home / "right.csv", form="images/{i}.png,{label}")), 8, ("train",))[0]
    assert (train.pixels == right.pixels).all()
    assert train.labels.tolist() == right.labels.tolist()


def test_pictures_of_another_data_set_are_not_taken_for_those_that_are_missing(tmp_path: Path) -> None:
    """Many data sets call their pictures 0, 1, 2."""
    lay_out(tmp_path, {"other": 10, "pets/images": 9})
    said = refusal(table(tmp_path / "pets" / "labels.csv"))
    assert "labels.csv: 1 of 10 pictures are not there: 9.png (line 11); looked for in images; " in said
    said = refusal(table(tmp_path / "birds" / "labels.csv"))
    assert "birds/labels.csv: 10 of 10 pictures are not there: 0.png (line 2), " in said
    assert (
        "; pictures of these names are in ../other; if they are meant, write that folder into the column path" in said
    )
    lay_out(tmp_path, {"birds_images": 9})  # 9.png is not there
    assert "pictures of these names are in ../other; if they are meant" in refusal(tmp_path / "birds" / "labels.csv")


def test_two_folders_with_pictures_of_the_same_names_are_told_by_the_tables_name(tmp_path: Path) -> None:
    """As in a competition: the names in `test` are those in `train`, and the pictures are others."""
    lay_out(tmp_path, {"train": 10, "test": 12})
    path = table(tmp_path / "train.csv", header="id,label")
    for source in (ImageFolder(path), ImageFolder(tmp_path)):
        assert "the paths of the table are read from train" in source.layout.notes
        assert {file.name.partition("/")[0] for file in source.layout.files} == {"train"}
    other = path.rename(tmp_path / "labels.csv")
    said = refusal(other)
    assert "labels.csv: pictures of these names are in test, train; write the folder that is meant into" in said
    assert said.endswith("into the column path, as test/0.png")


def test_what_two_folders_beside_have_alike_is_refused(tmp_path: Path) -> None:
    lay_out(tmp_path, {"images_large": 10, "images_small": 10})
    path = table(tmp_path / "labels" / "all.csv")
    said = refusal(path)
    assert "pictures of these names are in ../images_large, ../images_small; write the folder that is meant" in said
    assert len(ImageFolder(table(path, form="../images_small/{i}.png,{label}")).layout.files) == 10
    for link in (tmp_path / "images_small").iterdir():  # the same pictures by another name
        link.unlink()
    (tmp_path / "images_small").rmdir()
    (tmp_path / "images_small").symlink_to(tmp_path / "images_large")
    assert "the paths of the table are read from ../images_large" in ImageFolder(table(path)).layout.notes


def test_where_pictures_are_in_no_folder_it_is_said_where_they_were_looked_for(tmp_path: Path) -> None:
    lay_out(tmp_path, {"images/deep": 3, "labels/small": 0})
    said = refusal(table(tmp_path / "labels" / "train.csv", form="x{i}.png,{label}"))
    assert "10 of 10 pictures are not there: x0.png (line 2), x1.png (line 3), x2.png (line 4) and 7 more; " in said
    assert "looked for in its own folder, small, .., ../images, ../images/deep; " in said
    assert said.endswith("write into the column path where each lies, from the table's folder")


def test_folders_that_may_not_be_read_are_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, {"images": 10, ".hidden": 10, "closed": 10})
    path = table(tmp_path / "labels" / "train.csv")
    real = os.scandir

    def scandir(folder: str) -> object:
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    (tmp_path / "closed" / "0.png").unlink()  # a folder is asked for single files all the same
    assert "the paths of the table are read from ../images" in ImageFolder(path).layout.notes


def test_a_table_of_answers_to_be_handed_in_is_not_read(tmp_path: Path) -> None:
    lay_out(tmp_path, {"train": 10, "test": 4})
    table(tmp_path / "train.csv", header="id,label")
    table(tmp_path / "sample_submission.csv", 4, "{i},0", "id,label")
    layout = ImageFolder(tmp_path).layout
    assert len(layout.files) == 10
    assert layout.notes[-1] == "sample_submission.csv: not read, for a table of that name holds no true labels"
    table(tmp_path / "a_valid.csv", 4, header="id,label")
    said = refusal(tmp_path)
    assert "it has 2 tables (a_valid.csv, train.csv): write the one that is meant: " in said
    assert said.endswith(f"imagefolder:{tmp_path}/train.csv; or join them in one with a column split")
