"""`search train`: the best config of a real search, trained again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_model

from search.export import read_best
from search.models import build
from search.study import load_study
from search.train import evaluate_test

Write = Callable[[str, str], Path]
STORAGE = "sqlite:///studies.db"
SPACE = """
    from optuna.pruners import NopPruner

    from search import Float, SearchSpace

    pruner = NopPruner()  # two ranked rows, whatever is drawn
    space = SearchSpace(
        model="cnn", dataset="digits", epochs=2, batch_size=64, lr=Float(1e-2, 1e-1, log=True),
        momentum=0.9, step_size=1, gamma=0.5, precision="{precision}",
    )
"""


pytestmark = pytest.mark.usefixtures("sys_path", "torch_threads")


@pytest.fixture
def searched(cli: Callable[..., Any], write: Write, request: pytest.FixtureRequest) -> Path:
    """The best config of a search of two trials."""
    precision = getattr(request, "param", "fp32")
    write("tiny.py", SPACE.format(precision=precision))
    done = cli("run", "tiny.py", "--engine", "inline", "--trials", 2)
    assert done.status == 0, done.err
    return Path("reports/tiny.best.yaml")


def column(report: Path, name: str) -> list[str]:
    """A column of the report's table, ranked rows only."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in report.read_text().splitlines() if "|" in line
    ]
    head = next(row for row in rows if "Rank" in row)
    return [row[head.index(name)] for row in rows if row[0].isdigit()]


@pytest.mark.parametrize("searched", ["fp32", "bf16"], indirect=True)
def test_the_number_comes_out_again(cli: Callable[..., Any], searched: Path) -> None:
    best = read_best(searched)
    assert column(Path("reports/tiny.md"), "TESTING ACC") == ["", ""]
    torch.set_num_threads(best.ran_on["threads"] + 1)  # it is the YAML's number that counts
    done = cli("train", searched)
    assert (done.status, done.err) == (0, "")
    assert f"validation accuracy {best.value:.4f}, exactly trial {best.trial}'s val_acc" in done.out
    assert torch.get_num_threads() == best.ran_on["threads"]
    assert len(re.findall(r"^epoch [12]/2 ", done.out, re.M)) == 2

    found = re.search(r"^test accuracy +(0\.\d{4})$", done.out, re.M)
    assert found
    model = build("cnn", 10, 1)
    load_model(model, "reports/tiny.best.safetensors")
    device = best.ran_on["device"]
    assert f"{evaluate_test(model.to(device), best.config, device=device):.4f}" == found[1]

    assert column(Path("reports/tiny.md"), "TESTING ACC") == [found[1], ""]
    looked = load_study(STORAGE, "tiny").user_attrs["tests"]
    assert list(looked) == [str(best.trial)]
    assert f"{looked[str(best.trial)]['test_acc']:.4f}" == found[1]
    assert looked[str(best.trial)]["val_acc"] == best.value


GOOD = """
    config: {model: cnn, dataset: digits, weights: null, epochs: 1, batch_size: 64, lr: 0.1, momentum: 0.9,
      weight_decay: 0.0, step_size: 1, gamma: 0.5, frozen: [], precision: fp32, seed: 0}
    study: digits
    trial: 0
    metric: val_acc
    value: 0.5
    ran_on: {device: cpu, threads: 1}
"""


def test_another_number_is_not_called_the_same(cli: Callable[..., Any], write: Write) -> None:
    """And where the study is not in the storage, the model is trained all the same; no storage comes into being."""
    write("folder/good.yaml", GOOD)
    done = cli("train", "folder/good.yaml")
    assert (done.status, done.err) == (0, "")
    assert "exactly" not in done.out
    assert "(trial 0 had val_acc 0.5000; device, threads or versions may differ)" in done.out
    assert "test accuracy" in done.out
    assert sorted(path.name for path in Path().rglob("*")) == ["folder", "good.safetensors", "good.yaml"]


def test_divergence_is_one_line(cli: Callable[..., Any], write: Write) -> None:
    write("good.yaml", GOOD.replace("lr: 0.1", "lr: 1e30"))
    done = cli("train", "good.yaml")
    assert done.status == 1
    assert re.fullmatch(r"search: good\.yaml: the training loss is (nan|inf) from step \d+ of epoch 1 on\n", done.err)
    assert not Path("good.safetensors").exists()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("lr: 0.1", "lr: 0.1, lrr: 1", "unknown field 'lrr'; did you mean 'lr'?"),
        ("lr: 0.1, ", "", "the field 'lr' is missing"),
        ("model: cnn", "model: cnnn", "unknown model 'cnnn'"),
        ("dataset: digits", "dataset: caltech101", "no Caltech-101 in"),
        ("frozen: []", "frozen: [head]", "frozen='head' matches no parameter"),
        ("device: cpu", "device: tpu", "device 'tpu'"),
        ("threads: 1", "threads: 0", "threads=0"),
        ("study: digits", "{", "no valid YAML"),
    ],
)
def test_a_bad_file_is_one_line_and_creates_nothing(
    cli: Callable[..., Any], write: Write, tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert GOOD.count(old) == 1
    write("bad.yaml", GOOD.replace(old, new))
    done = cli("train", "bad.yaml")
    assert done.status == 2
    assert says in done.err
    assert done.err.startswith("search: ")
    assert done.err.count("\n") == 1
    assert done.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


def test_a_missing_file(cli: Callable[..., Any], tmp_path: Path) -> None:
    done = cli("train", "none.yaml")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "none.yaml: cannot be read" in done.err
    assert not list(tmp_path.iterdir())
