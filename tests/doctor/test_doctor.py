"""`search check` end to end: what is sound passes, and what is broken is named."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

pytestmark = pytest.mark.usefixtures("sys_path", "one_thread")
Write = Callable[[str, str], Path]
SPACE = """\
from search import Choice, Float, SearchSpace
space = SearchSpace(model="cnn", dataset="DATA", epochs=2, batch_size=32, lr=Float(LR, log=True), step_size=1,
                    gamma=1.0, precision="fp32", MORE)
"""


def space(write: Write, data: str = "digits", lr: str = "1e-3, 1.0", more: str = "") -> Path:
    return write("s.py", SPACE.replace("DATA", data).replace("LR", lr).replace("MORE", more))


def failed(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith("FAIL")]


def pictures() -> None:
    """Digits in the folders train, val and test, with the labels of others."""
    digits = load_digits()
    labels = np.random.default_rng(0).permutation(digits.target)
    for i, (image, label) in enumerate(zip(digits.images[:500], labels, strict=False)):
        part = ("train", "train", "val", "test")[i % 4]
        home = Path("data/own") / part / str(label)
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype(np.uint8)).save(home / f"{i}.png")


def test_a_sound_space_passes_every_check(cli: Any, write: Write) -> None:
    path = space(write)
    path.write_text(path.read_text().replace("batch_size=32", "batch_size=Choice(32, 64)"))
    status, out, err = cli("check", path)
    assert (status, err) == (0, ""), out
    lines = out.splitlines()
    assert lines[0].startswith("checking cnn on digits at the middle of the space (batch_size=32, lr=0.03162)")
    assert lines[1] == "digits: 10 classes, 898 + 449 + 450 images"
    names = ["choices", "images", "classes", "duplicates", "labels", "head", "initial loss", "memorise", "lr range"]
    names.append("speed")
    assert [line[5:18].strip() for line in lines[2:-1]] == [*names, "memory"]
    assert sorted(path.name for path in Path("runs/s/check").iterdir()) == ["images.png", "lr_range.png"]
    speed, memory = (" ".join(line.split()) for line in lines[-3:-1])
    assert speed.startswith("ok speed a step of 64 images takes ")  # the largest batch, measured in its own process
    found = re.match(r"ok memory ([\d.]+) GiB a trial of batch_size=64, ", memory)
    assert found is not None, memory
    assert 0.2 < float(found[1]) < 2.0  # torch itself, and a small model


def test_what_is_broken_is_named_and_the_other_checks_go_on(cli: Any, write: Write) -> None:
    """Labels that are shuffled, an image in both splits, a frozen head, no such weights, and rates that diverge."""
    pictures()
    first = sorted(Path("data/own/train/3").iterdir())[0]
    shutil.copy(first, Path("data/own/val/3/copy.png"))
    more = "frozen=('2',), weights=Choice(scratch=None, file='no.pth')"
    status, out, _ = cli("check", space(write, "imagefolder:own", lr="1.0, 1e3", more=more))
    assert status == 1
    choices, duplicates, labels, head, rates = failed(out)
    assert choices.startswith("FAIL choices       weights=file: weights='no.pth'")
    assert duplicates.startswith("FAIL duplicates")
    assert f"1 in both splits: train/3/{first.name} = val/3/copy.png" in duplicates
    assert labels.startswith("FAIL labels")
    assert "are they shuffled?" in labels
    assert head.startswith("FAIL head          2.weight is random and frozen")
    assert rates.startswith("FAIL lr range      useful ")
    assert "11 checks in" in out


def test_a_train_of_its_own_has_its_choices_looked_at(cli: Any, write: Write) -> None:
    text = "from search import Float, SearchSpace\nspace = SearchSpace(x=Float(0, 1))\nmetric = 'score'\n"
    path = write("own.py", text + "def train(config):\n    yield {'score': 1}\n")
    status, out, _ = cli("check", path)
    assert status == 0
    assert "only its choices, for it has its own train()" in out


def test_a_file_that_is_no_space_exits_2_with_one_line(cli: Any, write: Write) -> None:
    status, out, err = cli("check", write("s.py", "space = 3"))
    assert (status, out, err.count("\n")) == (2, "", 1)
