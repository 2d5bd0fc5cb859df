"""`search train`: the best config of a real search, trained again."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import scipy.stats
import torch
from conftest import Cli, add_seeds
from optuna.study import Study
from optuna.trial import create_trial
from safetensors.torch import load_model

from search.analysis.statistics import wilson
from search.commands.steps.export import Best, read_best
from search.commands.steps.train import verdict
from search.config import Epoch, TrainConfig
from search.models import build
from search.reporting import columns
from search.study.study import load_study
from search.train import evaluate_test

Write = Callable[[str, str], Path]
STORAGE = "sqlite:///studies.db"
SPACE = """
    from optuna.pruners import NopPruner

    from search import Float, SearchSpace

    pruner = NopPruner()  # two ranked rows, whatever is drawn
    space = SearchSpace(
        model="cnn", dataset="digits", epochs=2, subset=320, batch_size=64, lr=Float(1e-2, 1e-1, log=True),
        momentum=0.9, step_size=1, gamma=0.5, precision="{precision}",
    )
"""


pytestmark = pytest.mark.usefixtures("sys_path", "torch_threads")


@pytest.fixture
def searched(once: Cli, write: Write, request: pytest.FixtureRequest) -> Path:
    """The best config of a search of two trials."""
    precision = getattr(request, "param", "fp32")
    write("tiny.py", SPACE.format(precision=precision))
    done = once("run", "tiny.py", "--engine", "inline", "--trials", 2, "--sealed")
    assert done.status == 0, done.err
    return Path("reports/tiny.best.yaml")


def column(report: Path, name: str) -> list[str]:
    """A column of the report's table, ranked rows only."""
    page = report.read_text().partition("## Class by class")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if "|" in line]
    head = next(row for row in rows if "Rank" in row)
    return [row[head.index(name)] for row in rows if row[0].isdigit()]


@pytest.mark.parametrize("searched", ["fp32", "bf16"], indirect=True)
def test_the_number_comes_out_again(cli: Callable[..., Any], searched: Path) -> None:
    best = read_best(searched)
    assert "TESTING ACC" not in Path("reports/tiny.md").read_text()
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
    accuracy, images = evaluate_test(model.to(device), best.config, device=device)
    assert f"{accuracy:.4f}" == found[1]

    assert column(Path("reports/tiny.md"), "TESTING ACC") == [columns.accuracy(accuracy, images), ""]
    assert "\nThe study was evaluated once on the test split.\n" in Path("reports/tiny.md").read_text()
    looked = load_study(STORAGE, "tiny").user_attrs["tests"]
    assert list(looked) == [str(best.trial)]
    assert f"{looked[str(best.trial)]['test_acc']:.4f}" == found[1]
    assert looked[str(best.trial)]["val_acc"] == best.value
    assert looked[str(best.trial)]["images"] == images == 450


def test_verify_says_whether_and_by_which_measure_and_writes_nothing(
    cli: Callable[..., Any], searched: Path, tmp_path: Path
) -> None:
    before = {
        path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.suffix in (".md", ".yaml", ".safetensors")
    }
    best = read_best(searched)
    done = cli("train", searched, "--verify")
    assert done.status == 0
    assert done.out.endswith(f"reproduced: val_acc {best.value:.4f}, exactly trial {best.trial}'s\n")
    text = searched.read_text().replace(f"value: {best.value}", "value: 0.5")
    Path("other.yaml").write_text(text)
    done = cli("train", "other.yaml", "--verify")
    assert done.status == 1
    assert re.search(
        r"\nnot reproduced: val_acc 0\.\d{4}, trial \d had 0\.5000 with the same device, threads and", done.out
    )
    Path("other.yaml").unlink()
    after = {
        path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.suffix in (".md", ".yaml", ".safetensors")
    }
    assert before == after
    assert "test accuracy" not in done.out
    assert "tests" not in load_study(STORAGE, "tiny").user_attrs


def test_elsewhere_the_seeds_decide_or_the_images() -> None:
    """The verdict alone, on numbers whose intervals are known."""
    config = TrainConfig(model="cnn", dataset="digits", epochs=1, lr=0.1, step_size=1, gamma=0.5)
    best = Best(config, "s", 3, "val_acc", 0.90, {"device": "cpu", "torch": "1"})
    here = {"device": "cpu", "torch": "2"}

    def said(val_acc: float, ran_on: dict[str, Any] = here, metric: str = "val_acc") -> tuple[bool, str]:
        losses = dict(train_loss=1, train_acc=0.5, last_step_loss=1, val_loss=0.5)
        last = Epoch(epoch=1, **losses, val_acc=val_acc, lr=0.1, seconds=1, val_images=100)
        return verdict(dataclasses.replace(best, metric=metric), last, ran_on, study)

    study: Study | None = None
    assert said(0.90) == (True, "val_acc 0.9000, exactly trial 3's")
    assert not said(0.91, best.ran_on)[0]  # same place: equal or not
    low, high = wilson(90, 100)
    for value, inside in ((low + 0.001, True), (high - 0.001, True), (low - 0.001, False), (high + 0.001, False)):
        reproduced, text = said(value)
        assert reproduced == inside
        assert f"{'inside' if inside else 'outside'} {low:.4f} to {high:.4f}, its Wilson interval (95%)" in text
        assert text.endswith("; torch 1 there, 2 here")
    assert said(0.9, metric="val_loss") == (
        False, "val_loss 0.5000, trial 3 had 0.9000; of val_loss no interval is known (torch 1 there, 2 here)"
    )  # fmt: skip
    two = dataclasses.replace(best, ran_on={**here, "ranks": 2})
    last = Epoch(
        epoch=1, train_loss=1, train_acc=0.5, last_step_loss=1, val_loss=0.5, val_acc=0.91, lr=0.1, seconds=1,
        val_images=100,
    )  # fmt: skip
    assert verdict(two, last, here, None)[1].endswith("; ranks 2 there, 1 here")
    study = optuna.create_study(study_name="s", direction="maximize")
    study.add_trials([create_trial(value=0.9, user_attrs={"config": {"lr": 0.1, "seed": 0}}) for _ in range(4)])
    add_seeds(study, 3, [0.90, 0.91, 0.89], [0.8, 0.8, 0.8])
    expected = scipy.stats.t.interval(0.95, 2, 0.9, 0.01 * (4 / 3) ** 0.5)
    assert said(expected[0] + 1e-3)[0]
    assert not said(expected[1] + 1e-3)[0]
    assert "where one more seed lies beside the 3 confirmed (95%)" in said(0.91)[1]


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
    assert re.fullmatch(
        r"search: good\.yaml: diverged: the training loss is (nan|inf) from step \d+ of epoch 1 on\n", done.err
    )
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
