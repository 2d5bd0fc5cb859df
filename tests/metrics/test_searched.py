"""A measure as the objective of a real search on uneven classes of the digits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli
from trained.test_predict import numbers

from search.study.attributes import epoch_of
from search.study.study import load_study

Write = Callable[[str, str], Path]
SPACE = """
    from search import Choice, SearchSpace

    space = SearchSpace(
        model="cnn", dataset="imagefolder:numbers", image_side=12, epochs=2, batch_size=20, lr=Choice(0.05, 0.01, 0.02),
        momentum=0.9, step_size=1, gamma=0.5, precision="fp32",
    )
    metric = "{metric}"
"""
pytestmark = pytest.mark.usefixtures("sys_path", "one_thread")


@pytest.mark.parametrize("metric", ["val_f1", "val_balanced_acc", "val_ece", "val_top5_acc", "val_auroc"])
def test_it_is_ranked_with_interval_and_ties(cli: Cli, write: Write, metric: str) -> None:
    numbers(Path("data/numbers"))
    write("tiny.py", SPACE.format(metric=metric))
    done = cli("run", "tiny.py", "--engine", "inline", "--trials", 3)
    assert done.status == 0, done
    assert f"{'minimise' if metric == 'val_ece' else 'maximise'} {metric}\n" in done.out
    study = load_study("sqlite:///studies.db", "tiny")
    values = [trial.value for trial in study.trials if trial.value is not None]
    assert study.best_value == (min(values) if metric == "val_ece" else max(values))
    assert epoch_of(study.best_trial)[metric] == study.best_value
    page = Path("reports/tiny.md").read_text(encoding="utf-8")
    if metric == "val_auroc":  # of which the answers that are kept do not say enough
        assert f"Best {metric}: **{study.best_value:.4f}**, trial" in page
        assert "Ties are not tested" in page
    else:
        found = re.search(rf"Best {metric}: \*\*{study.best_value:.4f}\*\* \(95% interval (\S+) to (\S+) by boot", page)
        assert found is not None
        assert float(found[1]) <= study.best_value + 0.02  # a calibration error is larger in a sample
        assert "bootstrap of the same images, Holm over the rows" in page
        assert re.search(rf"\| {study.best_value:.4f} \({found[1]} to {found[2]}\)", page)
    assert "## Class by class" in page
    assert "Each class on the validation images, the worst first:" in page
    assert len(json.loads(cli("report", "tiny", "--json").out)["classes"]) == 10
    if metric in ("val_f1", "val_auroc"):  # the columns are the same of all metrics but their own
        report = cli("report", "tiny", "--columns", "macro-f1,auroc,calibration-error,balanced-acc,top-5-acc")
        assert "MACRO F1" in report.out
        assert "AUROC" in report.out


def test_what_the_training_does_not_yield_is_refused_first(cli: Cli, write: Write) -> None:
    write("tiny.py", SPACE.format(metric="val_f2"))
    status, out, err = cli("run", "tiny.py", "--engine", "inline")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "val_f2" in err
