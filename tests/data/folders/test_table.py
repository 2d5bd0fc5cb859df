"""Tables of pictures, as spreadsheets, pandas and people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pictures import lay_out

from search.data.folders.imagefolder import ImageFolder
from search.errors import SearchError


def table(home: Path, text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
    home.mkdir(parents=True, exist_ok=True)
    path = home / name
    path.write_bytes(text.encode(encoding))
    return path


def lines(count: int = 10, form: str = "images/{i}.png,{label}") -> str:
    return "\n".join(form.format(i=i, label="cat" if i % 2 else "dog") for i in range(count)) + "\n"


def seen(path: Path) -> tuple[list[str], list[int]]:
    classes, splits = ImageFolder(path).splits()
    return classes, [len(items) for items in splits.values()]


def refusal(path: Path) -> str:
    with pytest.raises(SearchError) as error:
        ImageFolder(path).splits()
    return str(error.value)


FORMS = {
    "plain": ("path,label\n" + lines(), "labels.csv", "utf-8"),
    "a byte order mark": ("path,label\n" + lines(), "labels.csv", "utf-8-sig"),
    "UTF-16": ("path,label\n" + lines(), "labels.csv", "utf-16"),
    "quotes": ("path,label\n" + lines(form='"images/{i}.png","{label}"'), "labels.csv", "utf-8"),
    "semicolons": ("path;label\n" + lines(form="images/{i}.png;{label}"), "labels.csv", "utf-8"),
    "tabs": ("path\tlabel\n" + lines(form="images/{i}.png\t{label}"), "labels.tsv", "utf-8"),
    "Windows": ("Path,Label\r\n" + lines(form="images\\{i}.png,{label}\r"), "labels.csv", "utf-8"),
    "other names and an index": ("n,file_name,class\n" + lines(form="{i},images/{i}.png,{label}"), "x.CSV", "utf-8"),
    "names alone": ("path,label\n" + lines(form="{i}.png,{label}"), "labels.csv", "utf-8"),
    "no header": (lines(), "labels.csv", "utf-8"),
    "blank lines": ("path,label\n\n" + lines() + "\n,\n", "labels.csv", "utf-8"),
    "dots": ("path,label\n" + lines(form="./images/../images/{i}.png , {label}"), "labels.csv", "utf-8"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_table_is_read_however_it_is_written(tmp_path: Path, form: str) -> None:
    text, name, encoding = FORMS[form]
    lay_out(tmp_path, {"images": 10})
    path = table(tmp_path, text, name, encoding)
    assert seen(path) == (["cat", "dog"], [6, 2, 2])
    source = ImageFolder(path)
    said = "; ".join(source.layout.notes)
    assert ("no header" in said) == (form == "no header")
    assert ("columns that are not read: n" in said) == (form == "other names and an index")
    assert ("the paths of the table are read from images" in said) == (form == "names alone")
    assert source.files()[0].name == name
    assert source.fingerprint() == ImageFolder(path).fingerprint()


def test_a_table_may_say_the_splits(tmp_path: Path) -> None:
    lay_out(tmp_path, {"images": 10})
    parts = ["Train"] * 6 + ["VALID"] * 2 + ["eval"] * 2
    text = "".join(f"images/{i}.png,{'cat' if i % 2 else 'dog'},{part}\n" for i, part in enumerate(parts))
    assert seen(table(tmp_path, "path,label,split\n" + text)) == (["cat", "dog"], [6, 2, 2])
    before = ImageFolder(tmp_path / "labels.csv").fingerprint()
    table(tmp_path, "path,label,split\n" + text.replace("9.png,cat,eval", "9.png,dog,eval"))
    assert ImageFolder(tmp_path / "labels.csv").fingerprint() != before


def test_numbers_are_classes_in_their_order(tmp_path: Path) -> None:
    lay_out(tmp_path, {"images": 60})
    text = "".join(f"images/{i}.png,{i % 12}\n" for i in range(60))
    assert seen(table(tmp_path, "path,label\n" + text))[0] == [str(i) for i in range(12)]


def test_absolute_paths_and_paths_above_are_followed(tmp_path: Path) -> None:
    store = lay_out(tmp_path / "store", {"": 10})
    path = table(tmp_path / "a", "path,label\n" + lines(5, f"{store}/{{i}}.png,{{label}}"))
    with path.open("a") as file:
        file.write("".join(f"../store/{i}.png,{'cat' if i % 2 else 'dog'}\n" for i in range(5, 10)))
    assert seen(path) == (["cat", "dog"], [6, 2, 2])
    (item, *_), content = ImageFolder(path).splits()[1]["train"], ImageFolder(path)
    assert [found for _, found in content.read({item.name})] == [Path(item.name) if "/" in item.name else None]


def test_a_folder_with_a_table_and_flat_pictures_is_read_by_it(tmp_path: Path) -> None:
    lay_out(tmp_path, {"train": 12, "test": 3})
    table(tmp_path, "path,label\n" + lines(form="{i}.png,{label}"), "train.csv")
    table(tmp_path, "id\n1\n", "test.csv")
    assert seen(tmp_path) == (["cat", "dog"], [6, 2, 2])
    layout = ImageFolder(tmp_path).layout
    assert layout.notes == [
        "the classes are those of the table train.csv",
        "the paths of the table are read from train",
        "test.csv: not read, for it has no columns of paths and labels",
    ]
    assert layout.left_out == {"pictures that the table does not name": 5}


def test_pictures_may_stand_in_a_table_without_their_ending(tmp_path: Path) -> None:
    lay_out(tmp_path, {"train": 10, "test": 2})
    table(tmp_path, "id,breed_id,label\n" + "".join(f"{i},7,{'ab'[i % 2]}\n" for i in range(10)), "train.csv")
    assert seen(tmp_path / "train.csv") == (["a", "b"], [6, 2, 2])
    notes = ImageFolder(tmp_path / "train.csv").layout.notes
    assert notes == ["columns that are not read: breed_id", "the paths of the table are read from train"]
    (tmp_path / "train" / "3.jpg").write_bytes(b"x")
    assert "1 of 10 pictures are not there: 3 (line 5)" in refusal(tmp_path / "train.csv")  # there are two of that name
    table(tmp_path, "id,,filename,label\n" + "".join(f"x,,test/{i}.png,{'ab'[i]}\n" for i in range(2)), "two.csv")
    assert "columns that are not read: id, one without a name" in ImageFolder(tmp_path / "two.csv").layout.notes


def test_a_table_beside_class_folders_agrees_or_is_refused(tmp_path: Path) -> None:
    lay_out(tmp_path, {"cat": 5, "dog": 5})
    names = [(f"{label}/{i}.png", label) for label in ("cat", "dog") for i in range(5)]
    table(tmp_path, "path,label\n" + "".join(f"{name},{int(label == 'dog')}\n" for name, label in names))
    assert seen(tmp_path) == (["cat", "dog"], [6, 2, 2])
    assert ImageFolder(tmp_path).layout.notes == [
        "the table labels.csv is not read, for it tells the classes of the folders"
    ]
    table(tmp_path, "path,label\n" + "".join(f"{name},{i % 2}\n" for i, (name, _) in enumerate(names)))
    assert "labels.csv tells other classes than the folders do; imagefolder:" in refusal(tmp_path)
    assert seen(tmp_path / "labels.csv")[0] == ["0", "1"]


BAD = {
    "other columns": ("name,kind\n1.png,cat\n", "its columns are name, kind; it needs path and label"),
    "two labels": ("path,class,target\n1.png,cat,1\n", "the columns class, target may all be the label"),
    "no picture": ("path,label\n" + lines() + "77.png,cat\n", "1 of 11 pictures are not there: 77.png (line 12)"),
    "no label": ("path,label\n" + lines() + "images/1.png,\n", "line 12: no label"),
    "an unknown split": ("path,label,split\nimages/1.png,cat,holdout\n", "line 2: unknown split 'holdout'"),
    "no split": ("path,label,split\nimages/1.png,cat,\n", "line 2: no split"),
    "one class": ("path,label\nimages/1.png,cat\n", "only one class, cat"),
    "nothing": ("path,label\n", "no line below the header"),
    "two classes of one": ("path,label\n" + lines() + "images/1.png,dog\n", "is cat and dog, lines 3 and 12"),
    "a class of val alone": (
        "path,label,split\nimages/1.png,a,train\nimages/2.png,b,train\nimages/3.png,c,val\n",
        "val has classes that train has not: c; known are a, b",
    ),
    "no train": ("path,label,split\nimages/1.png,a,val\nimages/2.png,b,test\n", "no train"),
    "a label with a comma": ("path,label\nimages/1.png,cat, big\n", "line 2: 3 cells, where the first line has 2"),
    "an empty file": ("", "the table is empty"),
    "a quote without end": ('path,label\n"images/1.png,cat\n', ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_table_that_is_wrong_is_refused_with_the_line(tmp_path: Path, kind: str) -> None:
    text, said = BAD[kind]
    lay_out(tmp_path, {"images": 10})
    message = refusal(table(tmp_path, text))
    assert "labels.csv" in message
    assert said in message


def test_a_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\nKühe.png,cat\n", encoding="latin-1")
    assert "labels.csv: not UTF-8 at byte 12; save the table as CSV UTF-8" in refusal(path)


def test_lines_that_stand_twice_and_one_file_in_two_splits(tmp_path: Path) -> None:
    lay_out(tmp_path, {"images": 10})
    path = table(tmp_path, "path,label\n" + lines() + lines(3))
    assert seen(path) == (["cat", "dog"], [6, 2, 2])
    assert ImageFolder(path).layout.left_out == {"named twice in the table": 3}
    rows = "".join(f"images/{i}.png,{'cat' if i % 2 else 'dog'},train\n" for i in range(10)) + "images/1.png,cat,val\n"
    path = table(tmp_path, "path,label,split\n" + rows)
    assert seen(path) == (["cat", "dog"], [10, 1, 0])
    assert "the same file stands in two splits: images/1.png in train and val" in ImageFolder(path).layout.notes


def test_two_tables_and_no_class_folders(tmp_path: Path) -> None:
    lay_out(tmp_path, {"images": 10})
    table(tmp_path, "path,label\n" + lines(), "a.csv")
    table(tmp_path, "path,label\n" + lines(), "b.csv")
    assert "it has 2 tables (a.csv, b.csv): write the one that is meant: imagefolder:" in refusal(tmp_path)
