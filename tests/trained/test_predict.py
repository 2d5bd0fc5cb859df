"""`search predict` on real pictures: the accuracy of the report, and whatever people name as pictures."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli, Result
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

import search
from search.study import test_split
from search.study.study import load_study

Write = Callable[[str, str], Path]
SPACE = """
    from search import SearchSpace

    space = SearchSpace(
        model="{model}", dataset="imagefolder:numbers", image_side={side}, epochs=2, batch_size={batch}, lr={lr},
        weights={weights}, momentum=0.9, step_size=1, gamma=0.5, precision="{precision}",
    )
"""
NET = """
    from torch import nn

    def net(num_classes, channels):
        return nn.Sequential(
            nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
            nn.Linear(32, num_classes),
        )
"""
pytestmark = pytest.mark.usefixtures("sys_path", "one_thread")


def numbers(root: Path, classes: int = 10) -> Path:
    """Real handwritten digits as PNG files, in class folders of train, val and test; some are wider than high."""
    digits = load_digits()
    for split, rows in {"train": range(300), "val": range(300, 400), "test": range(400, 500)}.items():
        for row in rows:
            label = int(digits.target[row])
            if label < classes:
                path = root / split / f"class {label}" / f"{row}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = (digits.images[row] * 15).astype(np.uint8)
                Image.fromarray(np.pad(pixels, ((0, 0), (row % 3, 0)))).save(path)
    return root


def space_of(model: str = "cnn", side: int = 12, precision: str = "fp32") -> str:
    """A space file. Large models take few steps: enough that they do not name one class for all."""
    weights = "DEFAULT" if model.startswith("efficientnet_lite0") else None
    return SPACE.format(
        model=model,
        side=side,
        precision=precision,
        batch=20 if side < 32 else 50,
        lr=0.05 if side < 32 else 0.01,
        weights=repr(weights),
    )


def searched(once: Cli, write: Write, model: str = "cnn", side: int = 12, precision: str = "fp32") -> float:
    """A study of one trial of `model`, and its accuracy on the test split as it is kept."""
    write("net.py", NET)
    numbers(Path("data/numbers"))
    write("tiny.py", space_of(model, side, precision))
    done = once("run", "tiny.py", "--engine", "inline", "--trials", 1)
    assert done.status == 0, done
    return float(test_split.of(load_study("sqlite:///studies.db", "tiny"))["0"]["test_acc"])


def files() -> dict[Path, int]:
    """Every file and its time; SQLite touches those of a database that it reads."""
    found = [path for path in Path().rglob("*") if path.is_file() and not path.name.startswith("studies.db")]
    return {path: path.stat().st_mtime_ns for path in found}


def rows_of(done: Result) -> list[dict[str, str]]:
    assert done.status == 0, done
    return list(csv.DictReader(io.StringIO(done.out)))


@pytest.mark.parametrize(
    ("model", "side", "precision"),
    [
        ("cnn", 12, "fp32"),
        ("net.py:net", 12, "bf16"),
        pytest.param("resnet18", 32, "auto", marks=pytest.mark.whole),
        pytest.param("timm/test_resnet", 32, "fp32", marks=pytest.mark.whole),
    ],
)
def test_the_accuracy_is_that_of_the_report(
    once: Cli, cli: Cli, write: Write, model: str, side: int, precision: str
) -> None:
    if model.startswith("timm/"):
        pytest.importorskip("timm", reason="timm is an extra: this test did NOT run")
    expected = searched(once, write, model, side, precision)
    words = ["--model", "there"] + (["--onnx", "there/model.onnx"] if precision == "fp32" else [])
    assert once("export", "tiny", *words).status == 0
    models = ["tiny", "there", "runs/tiny/weights/0.safetensors"]
    models += ["there/model.onnx"] if precision == "fp32" else []
    shutil.move("data/numbers/test", "pictures")  # neither the data set nor, for the files, the study
    before = files()
    answers = []
    for name in models:
        done = cli("predict", name, "pictures")
        rows = rows_of(done)
        right = sum(Path(row["path"]).parent.name == row["class"] for row in rows)
        assert right / len(rows) == expected, name
        assert len({row["class"] for row in rows}) > 1  # else any model would do
        assert f"{right} of 100 are right, accuracy {expected:.4f} (" in done.err
        assert all(0 < float(row["probability"]) <= 1 and not row["unreadable"] for row in rows)
        answers.append([row["class"] for row in rows])
    assert all(answer == answers[0] for answer in answers)
    assert files() == before
    if ":" in model:  # whose layers travel with it
        Path("net.py").rename("gone.py")
        foreign = cli("predict", "there", "pictures")  # for all that this folder knows
        assert (foreign.status, foreign.err.count("\n")) == (2, 1)
        assert f"names code that would run as you, {Path('there/net.py').absolute()}" in foreign.err
        assert f"look at it, and name it with --code {Path('there/net.py').absolute()}" in foreign.err
        assert cli("predict", "there", "pictures", "--code", "there/net.py").status == 0
        assert len(search.predict("there", "pictures", code=["there/net.py"])) == 100
        assert "its layers are in net.py, which is not here" in cli("predict", models[2], "pictures").err
        assert cli("predict", models[2], "pictures", "--code", "gone.py").status == 0
        assert "--code none.py: no such file" in cli("predict", models[2], "pictures", "--code", "none.py").err


def test_whatever_names_pictures(once: Cli, cli: Cli, write: Write) -> None:
    searched(once, write)
    home = Path("data/numbers/test")
    whole = rows_of(cli("predict", "tiny", home))
    assert whole[0].keys() == {"path", "class", "probability", "unreadable"}
    assert [row["path"] for row in whole] == sorted(str(path) for path in home.rglob("*.png"))
    assert rows_of(cli("predict", "tiny", f"{home}/**/*.png")) == whole
    assert rows_of(cli("predict", "tiny", home, f"{home}/class 1", f"{home}/class 1/*.png")) == whole
    with zipfile.ZipFile("some.zip", "w") as zipped:
        for path in home.rglob("*.png"):
            zipped.write(path, path.relative_to(home))
        zipped.writestr("notes.txt", "no picture")
    done = cli("predict", "tiny", "some.zip", "some.zip")
    assert [(row["class"], row["probability"]) for row in sorted(rows_of(done), key=lambda row: row["path"])] == [
        (row["class"], row["probability"]) for row in whole
    ]
    assert "left out: 1 .txt" in done.err
    found = search.predict("tiny", [home], top=3)
    assert [made.label for made in found] == [row["class"] for row in whole]
    assert [f"{made.probability:.6f}" for made in found] == [f"{float(row['probability']):.6f}" for row in whole]
    assert all(len(made.top) == 3 and made.top[0][1] >= made.top[1][1] >= made.top[2][1] for made in found)
    assert search.predict(load_study("sqlite:///studies.db", "tiny"), str(home), top=3) == found


def test_what_cannot_be_read_is_listed_and_what_is_unsure_has_no_class(once: Cli, cli: Cli, write: Write) -> None:
    searched(once, write)
    folder = Path("mixed")
    shutil.copytree("data/numbers/test/class 1", folder)
    good = next(folder.glob("*.png")).read_bytes()
    (folder / "cut.png").write_bytes(good[:60])
    (folder / "empty.jpg").touch()
    (folder / "phone.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    probabilities = sorted(made.probability or 0 for made in search.predict("tiny", "mixed"))
    middle = round(probabilities[len(probabilities) // 2], 3)
    words = ["predict", "tiny", "mixed", "--top", 2, "--threshold", middle, "--contact-sheet", "sheet.png"]
    done = cli(*words)
    rows = rows_of(done)
    sure, unsure = ([row for row in rows if bool(row[name])] for name in ("class", "unsure"))
    assert sure
    assert unsure
    assert min(float(row["probability"]) for row in sure) >= middle > max(float(row["probability"]) for row in unsure)
    assert all(row["class_2"] and float(row["probability_2"]) <= float(row["probability"]) for row in sure + unsure)
    broken = [row for row in rows if row["unreadable"]]
    assert [(row["path"], row["class"], row["probability"]) for row in broken] == [
        ("mixed/cut.png", "", ""),
        ("mixed/empty.jpg", "", ""),
        ("mixed/phone.jpg", "", ""),
    ]
    assert f"{len(unsure)} with no class of a probability of {middle:g}" in done.err
    assert "3 cannot be read:\n  mixed/cut.png: " in done.err
    assert "  mixed/empty.jpg: the file is empty" in done.err
    assert "  mixed/phone.jpg: a HEIC picture, which Pillow does not decode; save it as JPEG" in done.err
    assert "are right" not in done.err  # `mixed` is no class
    with Image.open("sheet.png") as sheet:
        assert sheet.width == 6 * 140 + 12
    written = cli(*words, "--json", "--out", "there/rows.json")
    assert (written.status, written.out) == (0, "")
    content = json.loads(Path("there/rows.json").read_text(encoding="utf-8"))
    assert [row["path"] for row in content] == [row["path"] for row in rows]
    assert content[0]["probability"] == float(rows[0]["probability"])


def test_more_classes_than_there_are_are_not_columns(once: Cli, cli: Cli, write: Write) -> None:
    searched(once, write)
    done = cli("predict", "tiny", "data/numbers/test/class 1", "--top", 99)
    row = rows_of(done)[0]
    assert [name for name in row if name.startswith("class")] == ["class", *(f"class_{n}" for n in range(2, 11))]
    assert sum(float(value) for name, value in row.items() if name.startswith("prob")) == pytest.approx(1, abs=1e-5)
    assert "--top 99: the model has 10 classes, and all are given\n" in done.err


def test_many_pictures_are_several_sheets(once: Cli, cli: Cli, write: Write) -> None:
    searched(once, write)
    done = cli("predict", "tiny", "data/numbers/test", "data/numbers/val", "--contact-sheet", "sheet.jpg")
    assert "wrote sheet.jpg, sheet-2.jpg" in done.err


def test_what_is_wrong_is_one_line(once: Cli, cli: Cli, write: Write) -> None:
    searched(once, write)
    assert once("export", "tiny", "--model", "there", "--onnx", "there/model.onnx").status == 0
    weights = "runs/tiny/weights/0.safetensors"

    def says(*words: object) -> str:
        status, out, err = cli("predict", *words)
        assert (status, out, err.count("\n")) == (2, "", 1), (out, err)
        return err

    test = "data/numbers/test"
    assert "gone.safetensors: no such file" in says("gone.safetensors", test)
    assert "no study 'gone'" in says("gone", test)
    assert "a model is a .safetensors or .onnx file" in says("tiny.py", test)
    assert "that folder has no model.safetensors" in says("runs", test)
    assert "gone.jpg: no such file or folder" in says(weights, "gone.jpg")
    assert "gone/*.jpg: no file has such a name" in says(weights, "gone/*.jpg")
    assert "there is no picture in what was named" in says(weights, "*.py")
    assert "runs: no pictures in it (" in says(weights, "runs")
    assert "1 .safetensors" in says(weights, "runs")
    assert "tiny.py: it does not open as a picture: " in says(weights, "tiny.py")
    assert "name a .png or .jpg file" in says(weights, test, "--contact-sheet", "sheet.txt")
    Path("plain.onnx").write_bytes(b"no model")
    assert "plain.onnx: no ONNX file that can be run" in says("plain.onnx", test)
    tensors = load_file(weights)
    with safe_open(weights, "pt") as file:
        about = file.metadata()
    save_file(tensors, "plain.safetensors")
    assert "plain.safetensors: no model of `search train` or `search export`: it has no config" in says(
        "plain.safetensors", test
    )
    save_file(tensors, "nine.safetensors", about | {"classes": json.dumps(["a"] * 9)})
    assert "nine.safetensors: not the weights of cnn for 9 classes: size mismatch for 2.weight" in says(
        "nine.safetensors", test
    )
    import onnx

    graph = onnx.load("there/model.onnx")
    for prop in graph.metadata_props:
        prop.value = json.dumps(["a"] * 9) if prop.key == "classes" else prop.value
    onnx.save(graph, "nine.onnx")
    assert "nine.onnx: the model has 10 outputs and 9 names of classes" in says("nine.onnx", test)
    del graph.metadata_props[:]
    onnx.save(graph, "none.onnx")
    assert "none.onnx: no model of `search train` or `search export`" in says("none.onnx", test)


def test_it_starts_without_what_it_does_not_need(once: Cli, cli: Cli, write: Write) -> None:
    searched(once, write)
    code = (
        "import sys\nsys.argv = ['search', 'predict', 'runs/tiny/weights/0.safetensors', 'data/numbers/test']\n"
        "from search.cli import main\ntry:\n    main()\n"
        "finally:\n    print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = set(done.stdout.splitlines()[-1].split())
    assert "torch" in names
    assert not names & {"ray", "optuna", "pandas", "sklearn", "matplotlib", "torchvision", "sqlalchemy", "scipy"}
