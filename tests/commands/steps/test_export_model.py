"""`search export --model` and `--onnx`: the winner's weights, taken from the run, with a card that tells the truth."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from trained.test_predict import numbers, searched, space_of

import search
from search.commands.steps.export import read_best
from search.study.study import load_study

Write = Callable[[str, str], Path]
pytestmark = pytest.mark.usefixtures("sys_path", "one_thread", "thin_vits")


@pytest.mark.whole
@pytest.mark.parametrize(
    ("model", "side", "lines"),
    [
        ("cnn", 12, 9),
        ("mlp", 12, 9),
        ("net.py:net", 12, 9),
        ("resnet18", 32, 8),
        ("vit_b_16", 32, 8),
        ("efficientnet_lite0", 32, 10),
        ("efficientnet_lite0_first8", 32, 10),
        ("timm/test_resnet", 32, 9),
    ],
)
def test_the_lines_of_the_card_load_the_model(
    once: Cli, cli: Cli, write: Write, model: str, side: int, lines: int
) -> None:
    if model.startswith("timm/"):
        pytest.importorskip("timm", reason="timm is an extra: this test did NOT run")
    fewer = ["--subset", 100] if side == 32 and "timm" not in model else []  # a step of these takes long
    searched(lambda *words: once(*words, *fewer), write, model, side)
    status, out, err = cli("export", "tiny", "--model", "there")
    assert (status, out, err) == (0, "wrote there, from runs/tiny/weights/0.safetensors\n", "")
    expected = {made.path: made.label for made in search.predict("tiny", "data/numbers/test")}
    assert len({*expected.values()}) > 1  # else any model would do
    pictures = {path: Path(path).resolve() for path in expected}
    (code,) = re.findall(r"```python\n(.*?)```", Path("there/README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= lines
    assert "search" not in code
    folder = Path("there").resolve()
    Path("net.py").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        *loads, reads, says = code.splitlines()
        names: dict[str, object] = {}
        exec("\n".join(loads), names)  # noqa: S102 - what the card says
        for path, whole in list(pictures.items())[::5]:
            shutil.copyfile(whole, "picture.jpg")
            with redirect_stdout(io.StringIO()) as said:
                exec(f"{reads}\n{says}", names)  # noqa: S102
            assert said.getvalue().strip() == expected[path], path


def test_the_card_says_what_is_known(once: Cli, cli: Cli, write: Write) -> None:
    test_acc = searched(once, write)
    assert cli("confirm", "tiny", "--top", 1, "--seeds", 2, "--engine", "inline").status == 0
    assert cli("export", "tiny", "--model", "there").status == 0
    card = Path("there/README.md").read_text(encoding="utf-8")
    study = load_study("sqlite:///studies.db", "tiny")
    assert "An image classifier for 10 classes, trained from scratch. It is trial 0 of the study tiny" in card
    assert re.search(rf"\| validation \| {study.best_value:.4f} \(0\.\d+ to 0\.\d+\) \| 100 \|", card)
    assert re.search(rf"\| test \| {test_acc:.4f} \(0\.\d+ to 0\.\d+\) \| 100 \|", card)
    assert "evaluated on the test split 3 times" in card  # the run, and two seeds
    assert "With 2 new seeds, the same settings reach a mean test accuracy of" in card
    assert "imagefolder:numbers: 300 of training, 100 of validation, 100 of test images in 10 classes" in card
    worst = [float(value) for value in re.findall(r"\| class \d \| (\d\.\d+) \(", card)]
    assert len(worst) == 10
    assert worst == sorted(worst)
    assert "12 x 12 px, bilinear" in card
    assert "| batch_size | 20 |" in card
    best = read_best(Path("there/config.yaml"))
    assert (best.trial, best.value) == (0, study.best_value)
    with safe_open("there/model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["classes"]) == [f"class {digit}" for digit in range(10)]


def test_only_the_best_is_kept_and_another_is_trained_first(cli: Cli, write: Write) -> None:
    numbers(Path("data/numbers"))
    text = space_of().replace("lr=0.05", "lr=Choice(0.05, 0.0001)")
    write("tiny.py", text.replace("import SearchSpace", "import Choice, SearchSpace"))
    assert cli("run", "tiny.py", "--engine", "inline", "--trials", 2, "--sealed").status == 0
    study = load_study("sqlite:///studies.db", "tiny")
    other = next(trial.number for trial in study.trials if trial.number != study.best_trial.number)
    status, _, err = cli("export", "tiny", "--trial", other, "--model", "there")
    assert (status, err.count("\n"), Path("there").exists()) == (2, 1, False)
    assert f"no runs/tiny/weights/{other}.safetensors and no reports/tiny.trial-{other}.safetensors" in err
    for command in re.findall(r"`search (.*?)`", err):
        assert cli(*command.split()).status == 0
    done = cli("export", "tiny", "--trial", other, "--model", "there")
    assert done.out == f"wrote there, from reports/tiny.trial-{other}.safetensors\n"
    assert cli("export", "tiny", "--model", "best").status == 0
    assert "evaluated on the test split once" in Path("there/README.md").read_text(encoding="utf-8")
    assert search.export("tiny", model=Path("again")) == Path("again")


def test_what_is_missing_or_stale_is_one_line(once: Cli, cli: Cli, write: Write) -> None:
    searched(once, write)
    weights = Path("runs/tiny/weights/0.safetensors")
    good = weights.read_bytes()
    tensors = {name: value.clone() for name, value in load_file(weights).items()}  # it maps the file
    with safe_open(weights, "pt") as file:
        about = file.metadata()

    def says() -> str:
        status, out, err = cli("export", "tiny", "--model", "there")
        assert (status, out, err.count("\n")) == (2, "", 1)
        return err

    weights.write_bytes(good[:100])
    assert "runs/tiny/weights/0.safetensors: no model of `search train`" in says()
    assert "`search train reports/tiny.best.yaml` writes it anew" in says()
    config = json.loads(about["config"]) | {"lr": 0.5}
    save_file(tensors, weights, about | {"config": json.dumps(config)})
    assert "is not of trial 0's config" in says()
    save_file(tensors, weights, about | {"data": '"other"'})
    assert "was trained on other data than trial 0" in says()
    assert cli("train", "reports/tiny.best.yaml").status == 0  # the remedy
    assert cli("export", "tiny", "--model", "there").out == "wrote there, from reports/tiny.best.safetensors\n"
    assert "prints a config" in cli("export", "tiny", "--model", "there", "--format", "dict").err


def test_a_study_with_its_own_train_has_no_model_of_ours(cli: Cli, write: Write) -> None:
    write(
        "own.py",
        """
        from search import Float, SearchSpace

        space = SearchSpace(x=Float(0, 1))
        metric, direction = "score", "maximize"

        def train(config):
            yield {"score": config["x"]}
        """,
    )
    assert cli("run", "own.py", "--engine", "inline", "--trials", 2).status == 0
    for words in (
        ["export", "own", "--model", "there"],
        ["export", "own", "--onnx", "own.onnx"],
        ["predict", "own", "."],
    ):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("a.png")
        status, out, err = cli(*words)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "the study 'own' has a train() of its own, so that there is no model of ours" in err
