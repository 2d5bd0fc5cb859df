"""Studies side by side: made-up ones whose truth is known, and all that a storage may hold."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from conftest import Cli, add_predictions
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import TrialState, create_trial
from PIL import Image
from scipy.stats import binomtest

from search.analysis import comparison
from search.analysis.ties import paired
from search.config import TrainConfig
from search.study.storage.open import connect
from search.study.study import load_study

URL = "sqlite:///studies.db"
CONFIG = TrainConfig(model="cnn", dataset="digits", epochs=2, lr=0.01, step_size=5, gamma=0.1).model_dump(mode="json")
START = datetime(2026, 11, 21, 12)
Right = NDArray[np.bool_]


def right(count: int, images: int = 400) -> Right:
    """So many of the images named right, the first ones."""
    return np.arange(images) < count


def made(name: str, answers: list[Right], bits: bool = True, seconds: float = 60.0, dataset: str = "digits") -> Study:
    """A study of `search run` with a trial a minute, each after `seconds` of machine time; its last one pruned."""
    study = optuna.create_study(storage=connect(URL), study_name=name, direction="maximize")
    study.set_user_attr("metric", "val_acc")
    for number, answer in enumerate(answers):
        value = float(answer.mean())
        epoch = {"val_acc": value, "machine_seconds": seconds}
        attrs = {"config": CONFIG | {"dataset": dataset}, "epoch": epoch, "val_images": len(answer), "data": dataset}
        add(study, number, value=value, user_attrs=attrs, intermediate_values={1: 0.1, 2: value})
        if bits:
            add_predictions(name, number, answer)
    attrs = {"config": CONFIG, "epoch": {"val_acc": 0.1, "machine_seconds": 5.0}}
    add(study, len(answers), state=TrialState.PRUNED, user_attrs=attrs, intermediate_values={1: 0.1})
    return load_study(URL, name)


def add(study: Study, number: int, **what: Any) -> None:
    trial = create_trial(**what)
    trial.datetime_start = START + timedelta(minutes=number)
    trial.datetime_complete = START + timedelta(minutes=number + 1)
    study.add_trial(trial)


def rows(*studies: Study) -> list[dict[str, Any]]:
    return comparison.rows(comparison.views(studies))


def test_the_same_images_are_compared_pair_by_pair() -> None:
    better = right(300)
    worse = better.copy()
    worse[:20], worse[-6:] = False, True  # 20 that only the first names right, 6 that only the second does
    first, second = rows(made("a", [right(200), better]), made("b", [worse]))
    assert (first["best"], first["best_trial"], first["note"], first["test"]) == (0.75, 1, "the best", None)
    assert (first["best_low"], first["best_high"]) == pytest.approx((0.7053, 0.7899), abs=1e-4)
    assert (second["against"], second["test"], second["told_apart"]) == ("a", "mcnemar", True)
    assert second["p"] == pytest.approx(binomtest(6, 26).pvalue)
    assert second["difference"] == pytest.approx(-14 / 400)


def test_holm_counts_the_studies() -> None:
    better = right(300)
    worse = better.copy()
    worse[:20], worse[-6:] = False, True
    found = rows(made("a", [better]), made("b", [worse]), made("c", [worse]), made("d", [better]))
    assert [row["told_apart"] for row in found] == [None, True, True, False]
    assert found[1]["p"] == pytest.approx(3 * binomtest(6, 26).pvalue)


@pytest.mark.parametrize("count", [280, 200])
def test_without_each_images_answer_two_shares_are_compared(count: int) -> None:
    first, second = rows(made("a", [right(300)], bits=False), made("b", [right(count)]))
    assert (second["test"], second["p"], second["told_apart"]) == ("newcombe", None, count == 200)
    assert second["difference_low"] < (count - 300) / 400 < second["difference_high"]
    assert first["test"] is None


def test_two_equal_configs_are_tied_in_930_of_1000_draws() -> None:
    generator, tied = np.random.default_rng(0), 0
    for _ in range(1000):
        easy = generator.random(400) < 0.5
        first, second = (np.packbits(easy | (generator.random(400) < 0.6)) for _ in range(2))
        tied += bool(paired(first, second[None])[0] > 0.05)
    assert tied >= 930


def test_time_until_a_trial_is_near_the_best_of_all() -> None:
    quick = made("quick", [right(100), right(299), right(300)], seconds=20.0)  # 0.7475 is near 0.75
    slow, far = made("slow", [right(298)], seconds=9.0), made("far", [right(290)])
    found = rows(quick, slow, far)
    assert [row["seconds_to_near_best"] for row in found] == [120.0, 60.0, None]
    assert [row["machine_seconds_to_near_best"] for row in found] == [40.0, 9.0, None]
    assert [row["machine_seconds"] for row in found] == [65.0, 14.0, 65.0]
    assert [row["saved_seconds"] for row in found] == [5.0, 5.0, 5.0]


def test_a_loss_is_near_by_its_share() -> None:
    studies = []
    for name, values in (("a", [3.0, 2.009, 2.0]), ("b", [2.011])):
        study = optuna.create_study(storage=connect(URL), study_name=name)
        for number, value in enumerate(values):
            add(study, number, value=value)
        studies.append(study)
    first, second = rows(*studies)
    assert (first["best"], first["note"], first["seconds_to_near_best"]) == (2.0, "the best", 120.0)
    assert (second["seconds_to_near_best"], second["note"]) == (None, "not tested: only accuracies are")
    assert second["difference"] == pytest.approx(0.011)


@pytest.fixture
def odd() -> list[str]:
    """All kinds of studies in one storage; their names."""
    made("good", [right(300), right(310)])
    made("elsewhere", [right(305)], dataset="fashion_mnist")
    storage = connect(URL)
    optuna.create_study(storage=storage, study_name="empty")
    failed = optuna.create_study(storage=storage, study_name="failed", direction="maximize")
    failed.add_trial(create_trial(state=TrialState.FAIL))
    pair = optuna.create_study(storage=storage, study_name="two", directions=["minimize", "maximize"])
    pair.add_trial(create_trial(values=[1.0, 2.0]))
    plain = optuna.create_study(storage=storage, study_name="plain |[x]($y)")
    plain.optimize(lambda trial: float("nan") if trial.number < 2 else 0.5, n_trials=3)
    waiting = optuna.create_study(storage=storage, study_name="_waiting", direction="maximize")
    waiting.set_user_attr("metric", "val_acc")
    waiting.enqueue_trial({})
    unknown = optuna.create_study(storage=storage, study_name="unknown", direction="maximize")
    unknown.set_user_attr("metric", "val_acc")
    unknown.add_trial(create_trial(value=0.9))
    return ["good", "elsewhere", "empty", "failed", "two", "plain |[x]($y)", "_waiting", "unknown"]


def test_any_study_has_a_row(cli: Cli, odd: list[str]) -> None:
    status, out, err = cli("compare", *odd, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert list(found[0]) == [
        "study", "metric", "direction", "best", "best_low", "best_high", "best_trial", "trials", "running", "complete",
        "pruned", "fail", "waiting", "machine_seconds", "saved_seconds", "gpu_hours", "seconds_to_near_best",
        "machine_seconds_to_near_best", "against", "difference", "difference_low", "difference_high", "test", "p",
        "told_apart", "note",
    ]  # fmt: skip
    assert next((row["trials"], row["waiting"]) for row in found if row["study"] == "_waiting") == (0, 1)
    assert {row["study"]: row["note"] for row in found} == {
        "good": "not tested: another data set",  # than the best's, which is not known
        "elsewhere": "not tested: another data set",
        "empty": "no best",
        "failed": "no best",
        "two": "2 objectives",
        "plain |[x]($y)": "not tested: another metric",
        "_waiting": "no best",
        "unknown": "the best",
    }
    assert [row["fail"] for row in found] == [0, 0, 0, 1, 0, 2, 0, 0]
    assert found[4]["metric"] == "value 0, value 1"


def test_the_page_of_odd_studies(cli: Cli, odd: list[str]) -> None:
    status, out, err = cli("compare", *odd)
    assert (status, err) == (0, "")
    table, wrote = out.split("\n\n")
    path = Path(wrote.strip().removeprefix("wrote "))
    text = path.read_text()
    assert table in text
    assert "nan" not in text.lower()
    assert "No trial completed." in text
    assert {line.count("|") - line.count("\\|") for line in table.splitlines()} == {table.splitlines()[1].count("|")}


def test_the_page_and_its_picture(cli: Cli) -> None:
    made("a b", [right(count) for count in range(290, 300)])
    made("b", [right(280)])
    status, out, err = cli("compare", "a b", "b", "--reports", "there")
    assert (status, err) == (0, "")
    assert out.endswith("\n\nwrote there/a b-vs-b.md\n")
    text = Path("there/a b-vs-b.md").read_text()
    assert text.startswith("# a b against b\n\n| Study ")
    assert "| 0.7475 (0.703 to 0.788), trial 9 | the best " in text
    assert "| differs (McNemar, p = 3.8e-06)" in text
    assert "\n\nMcNemar: exact test on the same images, Holm over the studies, 5%. Each best was picked" in text
    assert "GPU-hours" not in text
    assert text.count("| Rank ") == 2
    assert "| 5      | 5 " in text  # ranks and trials
    assert "| 6      |" not in text
    assert "](a%20b-vs-b_files/best_over_time.png)\n" in text
    with Image.open("there/a b-vs-b_files/best_over_time.png") as picture:
        assert picture.size == (1100, 440)


def test_nothing_to_draw_is_no_picture(cli: Cli) -> None:
    for name in ("a", "b"):
        optuna.create_study(storage=connect(URL), study_name=name)
    assert cli("compare", "a", "b").status == 0
    assert [path.name for path in Path("reports").iterdir()] == ["a-vs-b.md"]
    assert "![" not in Path("reports/a-vs-b.md").read_text()


def test_as_csv(cli: Cli) -> None:
    made("a", [right(300)])
    made("b", [right(200)])
    status, out, _ = cli("compare", "a", "b", "--csv")
    first, second = csv.DictReader(io.StringIO(out))
    assert (status, first["study"], second["against"], second["told_apart"]) == (0, "a", "a", "True")
    assert not Path("reports").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["made", "made"], "the study 'made' is named twice"),
        (["made"], "name two or more"),
        (["made", "maed"], "no study 'maed' in sqlite:///studies.db; did you mean 'made'?"),
    ],
)
def test_what_cannot_be_compared_is_one_line(cli: Cli, words: list[str], says: str) -> None:
    made("made", [right(300)])
    status, out, err = cli("compare", *words)
    assert (status, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert not Path("reports").exists()
