"""`search run` with a train() of the space file: what its user reads of points that make no sense."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.study.study import load_study

pytestmark = [
    pytest.mark.usefixtures("sys_path"),
    pytest.mark.filterwarnings("ignore:.*constraints_func.*:FutureWarning"),  # which no other way replaces here
]
Write = Callable[[str, str], Path]


class Evil:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("pwned",)


PRUNED = """
import optuna
metric, trials = "score", 6
def space(trial):
    x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
    if trial.number in (1, 2) or trial.number == 0 and not EASY:
        raise optuna.TrialPruned("too | large")
    return {"x": x, "number": trial.number}
def train(config):
    if config["number"] == 3:
        raise optuna.TrialPruned("infeasible")
    yield {"score": config["x"]}
"""


@pytest.mark.parametrize("easy", [True, False])
def test_pruned_by_its_own_code(cli: Any, write: Write, easy: bool) -> None:
    write("space.py", f"EASY = {easy}\n{PRUNED}")
    status, out, err = cli("run", "space.py", "--engine", "inline", "--max-failures", 1)
    if not easy:  # of each study, the first point: the space is tried before anything starts
        assert (status, out) == (2, "")
        assert "space(trial) pruned the point: too | large; so it did with each of 101 random points" in err
        return
    assert (status, err) == (0, "")
    assert "trial 1 pruned: too | large" in out
    assert "trial 3 pruned: infeasible" in out
    report = Path("reports/space.md").read_text()
    assert "3 completed, 3 were pruned, 0 failed" in report
    assert "Trials that their own code pruned:\n\n- trial 1: too \\| large\n- trial 2" in report


CONSTRAINED = """
from optuna.samplers import TPESampler
from search import Float, SearchSpace
space = SearchSpace(x=Float(0, 1))
metric, trials = "score", 4
count = 0
sampler = TPESampler(constraints_func=lambda trial: [trial.user_attrs["epoch"]["size"] - LIMIT])
def train(config):
    global count
    count += 1
    yield {"score": 1.0 - count / 10, "size": float(count)}
"""


def test_an_infeasible_trial_is_marked_and_comes_last(cli: Any, write: Write) -> None:
    write("space.py", f"LIMIT = -2.5\n{CONSTRAINED}".replace("float(count)", "-float(count)"))
    status, out, err = cli("run", "space.py", "--engine", "inline", "--until", 0.9)
    assert (status, err) == (0, "")
    assert "trial 0 completed: score 0.9 at epoch 1 (infeasible)\n" in out
    assert "[3/4] trial 2 completed: score 0.7 at epoch 1, best 0.7 (trial 2)" in out
    rows = [line.split("|")[1:3] for line in out.splitlines() if line.startswith("|")][2:]
    assert [tuple(cell.strip() for cell in row) for row in rows] == [
        ("1", "2"),
        ("2", "3"),
        ("", "0 (infeasible)"),
        ("", "1 (infeasible)"),
    ]
    assert "2 of the completed break a constraint of the sampler" in Path("reports/space.md").read_text()


def test_none_is_feasible(cli: Any, write: Write) -> None:
    write("space.py", f"LIMIT = 0\n{CONSTRAINED}")
    status, _, err = cli("run", "space.py", "--engine", "inline")
    assert status == 1
    said = "4 trials completed, and all break a constraint, so there is no best"
    assert err == f"search: {said}; reports/space.md has the reasons\n"


GRID = """
from optuna.samplers import GridSampler
from search import Choice, Float, SearchSpace
space = SearchSpace(x=Float(0, 1), kind=Choice("a", "b"))
metric, trials = "score", 9
sampler = GridSampler({"x": [0.25, 0.75], "kind": ["a", "b"]})
def train(config):
    yield {"score": config["x"] + (config["kind"] == "b")}
"""


def test_a_grid_ends_its_search(cli: Any, write: Write) -> None:
    write("space.py", GRID)
    for _ in range(2):  # the second run has nothing to do
        status, out, err = cli("run", "space.py", "--engine", "inline")
        assert (status, err) == (0, "")
        assert "the sampler has no more points; 4 of 9 trials are done\n" in out
    assert "The last run ended early: the sampler has no more points." in Path("reports/space.md").read_text()


SEVERAL = """
from search import Float, SearchSpace
space = SearchSpace(x=Float(0, 1))
metric, trials = ("acc", "size"), 5
def train(config):
    yield {"acc": config["x"], "size": config["x"] ** 2}
"""


def test_several_objectives(cli: Any, write: Write) -> None:
    write("space.py", SEVERAL)
    status, _, err = cli("run", "space.py", "--engine", "inline")
    assert (status, "metric = 'size' does not tell whether more or less" in err) == (2, True)
    write("space.py", SEVERAL + 'direction = ("maximize", "minimize")\n')
    for _ in range(2):  # the second goes on with the same study
        status, out, err = cli("run", "space.py", "--engine", "inline")
        assert (status, err, out.splitlines()[0]) == (0, "", "maximise acc, minimise size")
        assert "best" not in out
    assert "trials are done already" in out
    assert "| Trial" in out
    assert "The study has 2 objectives: acc (maximize), size (minimize)." in Path("reports/space.md").read_text()
    status, _, err = cli("run", "space.py", "--engine", "inline", "--until", 1)
    assert (status, err) == (2, "search: --until 1.0 is for one metric; this space has acc, size\n")
    assert cli("confirm", "space").status == 2
    rows = json.loads(cli("report", "space", "--json").out)["rows"]
    assert all(row["objectives"] == dict(zip(("acc", "size"), row["values"], strict=True)) for row in rows)
    table = list(csv.DictReader(io.StringIO(cli("report", "space", "--csv").out)))
    assert [float(row["objectives.size"]) for row in table] == [float(row["objectives.acc"]) ** 2 for row in table]
    assert "values" not in table[0]
    frame = load_study("sqlite:///studies.db", "space").trials_dataframe()
    assert {"values_acc", "values_size"} <= {*frame}
    assert json.loads(cli("status", "--json").out)[0]["metric"] == "acc, size"


EXACT = """
from search import Choice, Float, Int, SearchSpace
space = SearchSpace(
    x=Float(0, 1), batch=Choice(1234567, 7654321), seed=2**64 + 1, steps=Int(10**9 + 1, 10**9 + 3), score="hard",
    Rank=7, Trial=Choice("a", "b"),
)
metric, trials = "score", 4
def train(config):
    yield {"score": 12345678}
"""


def test_an_integer_is_exact_and_a_setting_called_like_a_column_is_there(cli: Any, write: Write) -> None:
    write("space.py", EXACT)
    status, out, err = cli("run", "space.py", "--engine", "inline")
    assert (status, err) == (0, "")
    assert "trial 0 completed: score 12345678 at epoch 1, best 12345678 (trial 0)" in out
    page = Path("reports/space.md").read_text()
    for shown in (out, page):
        assert re.search(r"score \(setting\) hard, .*Rank \(setting\) 7|Rank \(setting\) 7, .*score", shown)
        assert "seed 18446744073709551617" in shown
        assert re.search(r"\| Rank +\| Trial +\| score +\|.*Trial \(setting\)", shown)
        assert re.search(r"\| 1 +\| 0 +\| 12345678 +\|", shown)
        assert "1234567" in shown or "7654321" in shown
        assert re.search(r"\b100000000[123]\b", shown)
        assert "e+" not in shown
    status, out, _ = cli("run", "space.py", "--engine", "inline", "--trials", 5)
    assert "best 12345678 (trial 0)" in out


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('direction = ("maximize",)', "it must have one for each of acc, size"),
        ('direction = ("maximize", "up")', "direction = 'up'; it must be"),
        ('metric = ("acc", "acc")', "a tuple of different ones"),
        (
            "from optuna.pruners import MedianPruner\npruner, direction = MedianPruner(), 'maximize'",
            "this pruner compares one metric; search.ASHA ranks several",
        ),
        ('del train\nmetric = ("val_acc", "size")', "metric = 'size' is not measured"),
    ],
)
def test_several_objectives_that_cannot_be(cli: Any, write: Write, more: str, says: str) -> None:
    write(
        "space.py",
        f"{SEVERAL}{more}\n".replace(
            "x=Float(0, 1)", "lr=Float(0.1, 1), model='cnn', dataset='digits', epochs=1, step_size=1, gamma=0.1"
        ),
    )
    status, _, err = cli("run", "space.py", "--engine", "inline")
    assert (status, says in err) == (2, True), err


def test_callbacks_are_functions(cli: Any, write: Write) -> None:
    write("space.py", GRID + "callbacks = print\n")
    status, _, err = cli("run", "space.py", "--engine", "inline")
    assert (status, "it must be a list of functions of a study and a trial" in err) == (2, True)
    write("space.py", GRID + "def broken(study, trial):\n    1 / 0\ncallbacks = [broken]\n")
    status, _, err = cli("run", "space.py", "--engine", "inline")
    assert (status, "the study's callback broken failed: user_code: space.py:10: 1 / 0: ZeroDivisionError" in err) == (
        1,
        True,
    )


SEEDED = """
from search import Choice, Float, SearchSpace
space = SearchSpace(x=Float(0, 1), kind=Choice(("a", 1), ("b", 2)){seed})
metric, trials = "score", 4
def train(config):
    assert isinstance(config["kind"], tuple)
    yield {{"score": config["x"] + config.get("seed", 0) / 100}}
"""


def test_a_train_that_is_told_its_seed_is_confirmed(cli: Any, write: Write) -> None:
    write("space.py", SEEDED.format(seed=", seed=0"))
    assert cli("run", "space.py", "--engine", "inline").status == 0
    words = ("confirm", "space", "--engine", "inline", "--top", 2, "--seeds", 3)
    status, out, err = cli(*words)
    assert (status, err) == (0, "")
    best = load_study("sqlite:///studies.db", "space").best_trial
    value = best.values[0]
    lines = [line for line in out.splitlines() if line.startswith(f"| trial {best.number} ")]
    assert lines == [f"| trial {best.number}  | 1, 2, 3 | {value + 0.02:.4f} ± 0.0100 "
                     f"({value + 0.01:.4f} to {value + 0.03:.4f}) |"]  # fmt: skip
    assert f"In score trial {best.number} has" in out
    assert "VALIDATION ACC" not in out
    assert "over the seeds, of score after the last epoch" in Path("reports/space.md").read_text()
    assert "all of that is confirmed already" in cli(*words).out
    assert cli("report", "space.confirm").status == 0
    write("space.py", SEEDED.format(seed=", seed=0").replace("Float(0, 1)", "Float(0, 2)"))
    status, _, err = cli(*words, "--seeds", 4)
    assert (status, "has another space than" in err) == (2, True)


def test_a_train_that_is_told_no_seed_is_not_confirmed(cli: Any, write: Write) -> None:
    write("space.py", SEEDED.format(seed=""))
    assert cli("run", "space.py", "--engine", "inline").status == 0
    status, _, err = cli("confirm", "space", "--engine", "inline")
    assert (status, 'give its space a setting seed=0, and use config["seed"] in train()' in err) == (2, True)


def test_the_word_of_a_storage_runs_no_code(cli: Any, write: Write, tmp_path: Path) -> None:
    write("space.py", SEEDED.format(seed=", seed=0"))
    assert cli("run", "space.py", "--engine", "inline").status == 0
    words = ("confirm", "space", "--engine", "inline", "--top", 1, "--seeds", 1)
    study = load_study("sqlite:///studies.db", "space")
    good = study.user_attrs["space_file"]
    evil = write("evil.py", "from pathlib import Path\nPath('pwned').touch()\n" + SEEDED.format(seed=", seed=0"))
    kept = tmp_path / "evil.cells"
    kept.write_bytes(pickle.dumps(Evil()))
    for file in (str(evil), str(kept), "\0", "", "../evil.py"):
        study.set_user_attr("space_file", file)
        status, out, err = cli(*words)
        assert (status, out, Path("pwned").exists()) == (2, "", False), err
        assert "as its storage says, which no run in this folder has used: look at the file, and name it with" in err
    study.set_user_attr("space_file", good)
    (tmp_path / "runs").rename(tmp_path / "cleared")
    assert "which no run in this folder has used" in cli(*words).err
    assert cli(*words, "--space", "space.py").status == 0
    (tmp_path / "runs" / "space" / "space").mkdir(parents=True)
    (tmp_path / "runs" / "space" / "space" / "code.json").write_text("{")
    assert "which no run in this folder has used" in cli(*words, "--seeds", 2).err


def test_a_confirmation_says_that_the_code_changed(cli: Any, write: Write) -> None:
    write("space.py", SEEDED.format(seed=", seed=0"))
    assert cli("run", "space.py", "--engine", "inline").status == 0
    write("space.py", SEEDED.format(seed=", seed=0").replace("/ 100", "/ 50"))
    done = cli("confirm", "space", "--engine", "inline", "--top", 1, "--seeds", 1)
    assert (done.status, "the code of train() changed since 4 of the earlier trials" in done.out) == (0, True)
