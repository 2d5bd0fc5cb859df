"""Class folders and split folders as they lie on people's disks: read as they are meant, or refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from pictures import encoded, lay_out

from search.data.folders.imagefolder import ImageFolder
from search.errors import SearchError


def counts(home: Path) -> tuple[list[str], list[int]]:
    """The classes of a folder, and how many pictures its train, val and test splits have."""
    classes, splits = ImageFolder(home).splits()
    return classes, [len(items) for items in splits.values()]


def notes(home: Path) -> str:
    return "; ".join(ImageFolder(home).layout.notes)


def refusal(home: Path) -> str:
    with pytest.raises(SearchError) as error:
        ImageFolder(home).splits()
    text = str(error.value)
    assert text.startswith(str(home))
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Train", "Valid", "Test"),
        ("TRAINING", "validation", "Testing"),
        ("training", "dev", "evaluation"),
        ("train", "valid", "eval"),
        ("seg_train", "seg_val", "seg_test"),
        ("train_images", "images-validation", "Test2"),
    ],
)
def test_splits_are_found_by_their_usual_names(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for name, count in zip(names, (4, 2, 3), strict=True):
        lay_out(tmp_path, {f"{name}/cat": count, f"{name}/dog": count})
    assert counts(tmp_path) == (["cat", "dog"], [8, 4, 6])
    if "seg" in names[0]:
        assert "seg_train is read as train, " in notes(tmp_path).replace("seg_val is read as val, ", "") + ", "


def test_splits_inside_folders_of_their_own_names(tmp_path: Path) -> None:
    for part in ("seg_train/seg_train", "seg_test/seg_test"):  # Intel's scenes
        lay_out(tmp_path, {f"{part}/sea": 10, f"{part}/street": 10})
    lay_out(tmp_path, {"seg_pred/seg_pred": 7})
    assert counts(tmp_path) == (["sea", "street"], [16, 4, 20])
    assert "the folder seg_pred is not read, for it has no split's name" in notes(tmp_path)
    assert ImageFolder(tmp_path).layout.left_out == {"in seg_pred": 7}


def test_train_and_test_leave_validation_to_be_drawn(tmp_path: Path) -> None:
    lay_out(tmp_path, {"train/cat": 10, "train/dog": 20, "test/cat": 3, "test/dog": 4})
    assert counts(tmp_path) == (["cat", "dog"], [24, 6, 7])
    _, splits = ImageFolder(tmp_path).splits()
    assert sorted(item.label for item in splits["val"]) == [0, 0, 1, 1, 1, 1]
    assert splits == ImageFolder(tmp_path).splits()[1]
    assert not {*splits["train"]} & {*splits["val"]}
    assert {item.name.split("/")[0] for item in splits["test"]} == {"test"}


def test_train_and_val_have_no_test(tmp_path: Path) -> None:
    lay_out(tmp_path, {"train/cat": 10, "train/dog": 10, "val/cat": 3, "val/dog": 3})
    assert counts(tmp_path) == (["cat", "dog"], [20, 6, 0])


def test_train_alone_is_split_as_class_folders_are(tmp_path: Path) -> None:
    lay_out(tmp_path, {"train/cat": 10, "train/dog": 10})
    assert counts(tmp_path) == (["cat", "dog"], [12, 4, 4])


@pytest.mark.parametrize("wrapper", ["pets", "pets/images", "pets-main/data/images"])
def test_folders_around_the_class_folders_are_passed(tmp_path: Path, wrapper: str) -> None:
    lay_out(tmp_path, {f"{wrapper}/cat": 5, f"{wrapper}/dog": 5})
    (tmp_path / "__MACOSX" / "cat").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "cat" / "._0.png").write_bytes(b"x")
    (tmp_path / "pets-notes").mkdir()
    assert counts(tmp_path) == (["cat", "dog"], [6, 2, 2])
    assert f"the folder {wrapper} is read, the only one with pictures" in notes(tmp_path)


def test_a_folder_around_the_splits_is_passed(tmp_path: Path) -> None:
    lay_out(tmp_path, {f"pets/{part}/{label}": 3 for part in ("Train", "Test", "Valid") for label in ("a", "b")})
    assert counts(tmp_path) == (["a", "b"], [6, 6, 6])
    assert notes(tmp_path) == "the folder pets is read, the only one with pictures"


def test_what_cannot_be_classes_is_refused(tmp_path: Path) -> None:
    flat = lay_out(tmp_path / "flat", {"": 3})
    assert "3 pictures, but no class folders; it is laid out as class folders" in refusal(flat)
    one = lay_out(tmp_path / "one", {"cat": 3})
    for i in range(10):
        (one / f"dog{i}.heic").write_bytes(b"x")
    assert "only one class, 'cat', and files that are not read: 10 .heic; it is laid out as" in refusal(one)
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    assert "no pictures in it (it is empty); it is laid out as" in refusal(nothing)
    (nothing / "cat.heic").write_bytes(b"x")
    assert "no pictures in it (found: 1 .heic)" in refusal(nothing)
    patients = {f"{patient}/{kind}": 2 for patient in ("p1", "p2", "p3") for kind in ("benign", "malignant")}
    cells = lay_out(tmp_path / "cells", patients)
    said = "p1, p2, p3 cannot be classes, for each holds the folders benign, malignant; if those are the classes, move"
    assert said in refusal(cells)
    named = lay_out(tmp_path / "named", {"train/train": 2, "train/val": 2, "val/train": 2})
    assert "the classes would be train, val, which are names of splits" in refusal(named)


def test_splits_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    both = lay_out(tmp_path / "both", {"train/a": 1, "train/b": 1, "val/a": 1, "Valid/a": 1})
    assert "both mean val; keep one of them" in refusal(both)
    vehicles = lay_out(tmp_path / "vehicles", {"train": 2, "bus": 2, "car": 2})
    assert "train is named like a split, but holds pictures as the class folders bus, car do" in refusal(vehicles)
    kaggle = lay_out(tmp_path / "kaggle", {"train": 2, "test": 2})
    assert "train: pictures, but no class folders" in refusal(kaggle).replace("test: pictures", "train: pictures")
    no_train = lay_out(tmp_path / "no_train", {"val/a": 1, "val/b": 1, "test/a": 1, "test/b": 1})
    assert "has test and val, but no train folder" in refusal(no_train)
    empty = lay_out(tmp_path / "empty", {"train/a": 1, "train/b": 1, "test/a": 0})
    assert "empty/test: no class folders with pictures in it" in refusal(empty)


def test_a_class_that_train_lacks_is_refused_by_name(tmp_path: Path) -> None:
    lay_out(tmp_path, {"train/Cat": 2, "train/dog": 2, "val/cat": 1, "val/dog": 1, "test/dog": 1})
    assert "val has classes that train has not: cat; did you mean 'Cat'?" in refusal(tmp_path)
    lay_out(tmp_path, {"train/cat": 1, "test/horse": 1, "test/ibis": 2})
    assert "test has classes that train has not: horse, ibis; known are Cat, cat, dog" in refusal(tmp_path)


def test_a_vehicle_of_the_class_train_stays_a_class(tmp_path: Path) -> None:
    lay_out(tmp_path, {"train/train": 2, "train/bus": 2, "test/train": 1, "test/bus": 1, "val/bus": 1})
    assert counts(tmp_path) == (["bus", "train"], [4, 1, 2])
    assert notes(tmp_path) == "val has no picture of train"


def test_a_class_whose_files_are_all_left_out_is_named(tmp_path: Path) -> None:
    lay_out(tmp_path, {"cat": 5, "dog": 5, "cow": 0})
    (tmp_path / "cow" / "1.heic").write_bytes(b"x")
    (tmp_path / "ant").mkdir()
    assert "no picture that can be read in the class folders ant, cow" in notes(tmp_path)
    assert ImageFolder(tmp_path).layout.left_out == {".heic": 1}


def test_what_is_beside_the_pictures_is_counted(tmp_path: Path) -> None:
    lay_out(tmp_path, {"cat": 5, "dog": 5, "dog/old/older": 2, "": 1})
    for name in ("cat/a.txt", "cat/b.TXT", "README", ".hidden.png", "dog/.DS_Store", "dog/._1.png", "cat/Thumbs.db"):
        (tmp_path / name).write_bytes(b"x")
    layout = ImageFolder(tmp_path).layout
    assert layout.left_out == {".txt": 2, "without ending": 1, "hidden": 1, "beside the class folders": 1}
    assert len(layout.files) == 12
    assert layout.notes == []


def test_what_notebooks_and_systems_leave_is_no_class(tmp_path: Path) -> None:
    copies = {f"{part}/.ipynb_checkpoints": 3 for part in ("train", "test", "train/cat")}
    thumbs = {"@eaDir/x": 2, "train/@eaDir/x": 2, "__MACOSX/train/cat": 2, "train/cat/@eaDir/1.png": 1}
    lay_out(tmp_path, {"train/cat": 5, "train/dog": 5, "test/cat": 2, "test/dog": 2, **copies, **thumbs})
    assert counts(tmp_path) == (["cat", "dog"], [8, 2, 4])
    layout = ImageFolder(tmp_path).layout
    assert (layout.left_out, layout.notes) == ({"hidden": 6}, [])


def test_classes_of_folders_in_folders_are_said(tmp_path: Path) -> None:
    lay_out(tmp_path, {"animal/cat": 5, "animal/dog": 5, "thing/car": 5, "thing/bus": 5})
    assert counts(tmp_path)[0] == ["animal", "thing"]
    assert "classes made of folders in folders: animal of cat, dog, thing of bus, car" in notes(tmp_path)
    tiny = lay_out(tmp_path / "tiny", {"train/n1/images": 5, "train/n2/images": 5, "test/n1": 2, "test/n2": 2})
    assert counts(tiny) == (["n1", "n2"], [8, 2, 4])
    assert notes(tiny) == ""


def test_classes_in_one_folder_beside_another_with_examples_are_refused(tmp_path: Path) -> None:
    """As the repository of a public data set has them."""
    lay_out(tmp_path, {"Dataset/0": 3, "Dataset/1": 3, "Dataset/2": 3, "Examples": 4})
    message = refusal(tmp_path)
    assert "Dataset holds the folders 0, 1, 2 and most of the pictures, and Examples none" in message
    assert f"imagefolder:{tmp_path}/Dataset reads them; if Dataset is a class, move its pictures" in message
    lay_out(tmp_path, {"Examples": 12})  # cats, and dogs by their breed
    assert "classes made of folders in folders: Dataset of 0, 1 and 1 more" in notes(tmp_path)


def test_a_data_set_among_the_class_folders_is_refused(tmp_path: Path) -> None:
    """As a public repository has it: the pictures, and a copy of them in splits."""
    splits = {f"split/{split}/{name}": 3 for split in ("Train", "val", "test") for name in ("with", "without")}
    lay_out(tmp_path, {"data/with": 9, "data/without": 9, **splits})
    said = "holds Train, test, val, which are splits of a data set: "
    assert f"{tmp_path}/split {said}imagefolder:{tmp_path}/split reads it" in refusal(tmp_path)


def test_class_names_of_all_kinds(tmp_path: Path) -> None:
    lay_out(tmp_path, {"train/Ku\u0308he": 3, "train/\udcff": 3, "train/a\nb": 3, "train/CAT": 3, "train/cat": 3})
    lay_out(tmp_path, {"val/K\u00fche": 3, "val/cat": 1})
    classes, _ = counts(tmp_path)
    assert classes == ["CAT", "K\u00fche", "\\udcff", "a\\nb", "cat"]
    assert "classes that differ only in capitals or blanks: CAT and cat" in notes(tmp_path)
    lay_out(tmp_path, {"train/K\u00fche": 1, "train/cat ": 2})
    said = notes(tmp_path)
    assert "train: folders whose names look the same are one class: K\u00fche (2 folders)" in said
    assert "classes that differ only in capitals or blanks: CAT and cat and cat \n" in f"{said}\n"
    for label in classes:
        label.encode()


def test_a_file_in_two_splits_or_classes_is_said(tmp_path: Path) -> None:
    lay_out(tmp_path, {"train/cat": 3, "train/dog": 3, "val/dog": 1, "test/dog": 1})
    (tmp_path / "val" / "dog" / "same.png").symlink_to(tmp_path / "train" / "dog" / "1.png")
    (tmp_path / "train" / "cat" / "same.png").symlink_to(tmp_path / "train" / "dog" / "2.png")
    said = notes(tmp_path)
    assert "the same file stands in two splits: train/dog/1.png in train and val" in said
    assert "the same file stands in two classes: train/cat/same.png in cat and dog" in said


def test_too_few_pictures_to_draw_from_are_named(tmp_path: Path) -> None:
    lay_out(tmp_path, {"cat": 20, "dog": 2, "eel": 1})
    said = "are drawn from 3 or more pictures a class, and fewer have dog (2), eel (1); add pictures"
    assert said in refusal(tmp_path)
    few = lay_out(tmp_path / "few", {f"train/{label}": 3 for label in "abc"} | {f"test/{label}": 3 for label in "abc"})
    assert "9 pictures of 3 classes, where five a class are needed on average to draw validation" in refusal(few)


def test_class_folders_that_are_links_to_folders(tmp_path: Path) -> None:
    store = lay_out(tmp_path / "store", {"x": 5, "y": 5})
    home = tmp_path / "home"
    home.mkdir()
    (home / "cat").symlink_to(store / "x")
    (home / "dog").symlink_to(store / "y")
    assert counts(home) == (["cat", "dog"], [6, 2, 2])
    before = ImageFolder(home).fingerprint()
    (home / "dog").unlink()
    (home / "dog").symlink_to(store / "x")
    assert ImageFolder(home).fingerprint() != before
    (store / "x" / "0.png").write_bytes(encoded(seed=99))
    after = ImageFolder(home).fingerprint()
    assert after != before
