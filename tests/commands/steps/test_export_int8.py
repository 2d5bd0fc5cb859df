"""`search export --int8`: a model in 8-bit integers, beside the float one, on the real digits."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SPACES, Cli
from PIL import Image
from sklearn.datasets import load_digits

import search
from search.commands.steps import export_int8
from search.commands.steps.export_int8 import CALIBRATION, calibrating
from search.train import batches

Write = Callable[[str, str], Path]
RUN = ("run", SPACES / "digits.py", "--engine", "inline", "--trials", 1, "--epochs", 3, "--set", "lr=0.1")


@pytest.mark.parametrize("how", ["dynamic", "static"])
def test_the_file_is_worth_what_the_lines_say(once: Any, cli: Cli, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    assert once(*RUN).status == 0
    seen: list[Any] = []
    load = batches.load_splits

    def watched(config: Any, root: Any, device: str, *splits: Any) -> Any:
        found = load(config, root, device, *splits)
        seen.append((splits, found))
        return found

    monkeypatch.setattr(export_int8, "load_splits", watched)
    status, out, err = cli("export", "digits", "--onnx", "small.onnx", "--int8", how)
    assert (status, err) == (0, "")
    wrote, whole, small, other = out.splitlines()
    assert wrote.startswith("wrote small.onnx, from runs/digits/weights/")
    pattern = r"{} +validation accuracy (0\.\d{{4}}) \(0\.\d+ to 0\.\d+\), (\S+) MB, \S+ ms an image on one core"
    values = [re.fullmatch(pattern.format(name), line) for name, line in (("float", whole), ("int8", small))]
    assert all(values), out
    accuracy = [float(found[1]) for found in values if found]
    size = [float(found[2]) for found in values if found]
    assert size[1] < 0.6 * size[0]
    study = search.load_study("digits")
    assert accuracy[0] == pytest.approx(study.best_value, abs=0.003)  # which may be of bf16
    assert re.fullmatch(r"of 449 validation images \d+ are called otherwise in int8; .* \(McNemar, p = \S+\)", other)

    ((splits, (_, val)),) = seen
    assert splits == ("train", "val")  # and never the test split
    import onnxruntime as runtime

    session = runtime.InferenceSession("small.onnx")
    x, y = val.batch(torch.arange(len(val)), torch.contiguous_format)
    said = [session.run(None, {"images": one.numpy()})[0].argmax() for one in x.split(1)]
    assert f"{(np.array(said) == y.numpy()).mean():.4f}" == small.split()[3]
    told = session.get_modelmeta().custom_metadata_map
    assert told["int8"] == f'"{how}"'
    assert {"classes", "input", "config", "data"} <= told.keys()

    pixels = (15 * load_digits().images[:20]).astype(np.uint8)
    for place, digit in enumerate(pixels):
        Image.fromarray(digit).save(f"{place:02d}.png")
    together = search.predict("small.onnx", "*.png")
    alone = [search.predict("small.onnx", f"{place:02d}.png")[0] for place in range(20)]
    assert [seen.top for seen in together] == [seen.top for seen in alone]  # no picture depends on the others


def test_few_and_always_the_same_training_images_calibrate() -> None:
    assert len({*calibrating(1000).tolist()}) == CALIBRATION
    assert calibrating(1000).tolist() == calibrating(1000).tolist()
    assert sorted(calibrating(5).tolist()) == [0, 1, 2, 3, 4]


def test_what_is_wrong_is_one_line(once: Any, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert once(*RUN).status == 0
    status, _, err = cli("export", "digits", "--int8", "static")
    assert (status, err) == (2, "search: --int8 static is of an ONNX file; name it with --onnx FILE\n")
    load = batches.load_splits

    def changed(*words: Any) -> Any:
        train, val = load(*words)
        monkeypatch.setattr(train, "identity", train.identity._replace(fingerprint="another"))
        return train, val

    monkeypatch.setattr(export_int8, "load_splits", changed)
    status, _, err = cli("export", "digits", "--onnx", "small.onnx", "--int8", "static")
    assert (status, err.count("\n")) == (2, 1)
    assert "digits has other pictures now than when the model was trained" in err
    assert not Path("small.onnx").exists()
