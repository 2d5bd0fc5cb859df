"""The ONNX file of a trained model, run by onnxruntime beside the torch model it comes from."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import Cli
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_model, save_file
from torch import nn

from search.commands.steps.export import read_best
from search.models import build
from search.train.batches import load_data

Write = Callable[[str, str], Path]
WEIGHTS = "runs/tiny/weights/0.safetensors"
SPACE = """
    from search import SearchSpace

    space = SearchSpace(
        model="{model}", dataset="digits", epochs=1, batch_size=64, lr=0.05, momentum=0.9, step_size=1, gamma=0.5,
        precision="fp32",
    )
"""
NET = """
    from torch import nn

    def net(num_classes, channels):
        return nn.Sequential(
            nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8), nn.SiLU(), nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes),
        )
"""

pytestmark = pytest.mark.usefixtures("sys_path", "one_thread")


@pytest.fixture
def trained(once: Cli, write: Write, request: pytest.FixtureRequest) -> str:
    """A study of one trial; its model's name."""
    model: str = getattr(request, "param", "cnn")
    write("net.py", NET)
    write("tiny.py", SPACE.format(model=model))
    assert once("run", "tiny.py", "--engine", "inline", "--trials", 1).status == 0
    return model


def torch_model(name: str) -> nn.Module:
    model = build(name, 10, 1, side=8)
    load_model(model, WEIGHTS)
    return model.eval()


@pytest.mark.parametrize("trained", ["cnn", "mlp", "net.py:net"], indirect=True)
def test_it_answers_as_the_torch_model_does(cli: Cli, trained: str) -> None:
    status, out, err = cli("export", "tiny", "--onnx", "there/tiny.onnx")
    assert (status, out, err) == (0, f"wrote there/tiny.onnx, from {WEIGHTS}\n", "")
    assert [path.name for path in Path("there").iterdir()] == ["tiny.onnx"]
    session: Any = onnxruntime.InferenceSession("there/tiny.onnx", providers=["CPUExecutionProvider"])
    (val,) = load_data(trained, "digits", Path("data"), "cpu", ("val",))
    x, y = val.batch(torch.arange(449), torch.contiguous_format)
    with torch.no_grad():
        expected = torch_model(trained)(x).numpy()
    (found,) = session.run(["logits"], {"images": x.numpy()})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert float((found.argmax(1) == y.numpy()).mean()) == read_best(Path("reports/tiny.best.yaml")).value
    for count in (1, 7):  # as many images as one likes
        (part,) = session.run(None, {"images": x[:count].numpy()})
        np.testing.assert_allclose(part, expected[:count], rtol=1e-4, atol=1e-5)
    about = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    assert about["classes"] == [str(digit) for digit in range(10)]
    assert about["input"] == {
        "size": [8, 8],
        "channels": "L",
        "resize": [8, 8],
        "fit": "center",
        "interpolation": "bilinear",
        "antialias": True,
        "mean": [0.305],
        "std": [0.376],
    }
    assert (about["config"]["model"], about["resize"]) == (trained, 8)
    seen = (val._whole[:5] / 255 - np.array(about["mean"])) / np.array(about["std"])  # as the metadata say
    np.testing.assert_allclose(seen.transpose(0, 3, 1, 2), x[:5].numpy(), atol=1e-6)


def test_what_is_missing_or_stale_is_one_line(cli: Cli, trained: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = Path(WEIGHTS)
    with safe_open(weights, "pt") as file:
        about = file.metadata()

    def says(*words: object) -> str:
        status, out, err = cli("export", "tiny", "--onnx", "tiny.onnx", *words)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert not Path("tiny.onnx").exists()
        return err

    save_file({"a": torch.zeros(1)}, weights)
    assert f"{WEIGHTS}: no model of `search train`" in says()
    save_file({"a": torch.zeros(1)}, weights, {"config": about["config"]})
    assert f"{WEIGHTS}: an older version wrote it, without its classes; train it again; `search train rep" in says()
    save_file({"a": torch.zeros(1)}, weights, about)
    assert f"{WEIGHTS}: not the weights of cnn for 10 classes: " in says()
    weights.unlink()
    assert f"no {WEIGHTS} and no reports/tiny.best.safetensors" in says()
    assert "`search train reports/tiny.best.yaml` trains the model" in says()
    assert cli("train", "reports/tiny.best.yaml").status == 0
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "onnxscript is not installed; it comes with this project's extra: pip install -e '.[onnx]'" in says()


def test_a_model_that_the_exporter_cannot_follow(cli: Cli, trained: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2 if x.mean().item() > 0 else x

    monkeypatch.setattr("search.commands.steps.export_onnx.network", lambda *what: Odd())
    status, out, err = cli("export", "tiny", "--onnx", "tiny.onnx")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "the model cannot be written as ONNX" in err
    assert not list(Path().glob("*.onnx*"))


def test_the_data_folder_is_not_asked_again(cli: Cli, write: Write) -> None:
    """A class folder renamed after the training would otherwise give every answer a wrong name."""
    for i, label in enumerate(("ant", "bee", "cat")):
        for number in range(10):
            path = write(f"data/mine/{label}/{number}.png", "")
            Image.fromarray(np.full((16, 16, 3), 80 * i + number, np.uint8)).save(path)
    write("tiny.py", SPACE.format(model="cnn").replace("digits", "imagefolder:mine"))
    status, out, _ = cli("run", "tiny.py", "--engine", "inline", "--trials", 1)
    assert status == 0
    seen = "cnn sees imagefolder:mine at 16 x 16 px, bilinear (the data set's own size; image_side=N chooses another)"
    assert seen in out.splitlines()[:5]
    with safe_open(WEIGHTS, "pt") as file:
        about = {name: json.loads(text) for name, text in file.metadata().items()}
    assert about["classes"] == ["ant", "bee", "cat"]
    assert about["input"]["size"] == [16, 16]
    Path("data/mine/ant").rename("data/mine/wasp")
    assert cli("export", "tiny", "--onnx", "tiny.onnx").status == 0
    session: Any = onnxruntime.InferenceSession("tiny.onnx", providers=["CPUExecutionProvider"])
    found = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    assert found["classes"] == ["ant", "bee", "cat"]
    assert found["input"] == about["input"]
