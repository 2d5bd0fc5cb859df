"""`search run` with several objectives of the built-in training, and with limits: on the real digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.samplers import NSGAIISampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from PIL import Image

from search.study.pruner import ASHA
from search.study.study import load_study

Write = Callable[[str, str], Path]
SPACE = """
from search import ASHA, Choice, Float, SearchSpace
from search.study.sampler import BoundedTPE
space = SearchSpace(
    model=Choice("mlp", "cnn"), dataset="digits", hidden=Choice(small=(16,), big=(512, 512)), epochs=4, subset=160,
    lr=Float(1e-3, 0.5, log=True), step_size=4, gamma=0.3,
)
objectives, limits = ("val_acc", "mb"), dict(mb=1)
trials, pruner, sampler = 12, ASHA(min_resource=1), BoundedTPE(seed=2)
"""
RUN = ("run", "space.py", "--engine", "inline")


def study(name: str = "space") -> Study:
    return load_study("sqlite:///studies.db", name)


def decisions() -> list[bool]:
    """Whether the study, read anew, has ASHA stop each of its trials."""
    read, asha = study(), ASHA(min_resource=1)
    return [asha.prune(read, trial) for trial in read.get_trials()]


def in_state(state: TrialState) -> list[FrozenTrial]:
    return [trial for trial in study().get_trials() if trial.state == state]


def test_the_front_is_searched_pruned_kept_and_reported(once: Any, cli: Any, write: Write) -> None:
    write("space.py", SPACE)
    status, out, err = once(*RUN)
    assert (status, err) == (0, "")
    assert "maximise val_acc, minimise mb" in out.splitlines()
    assert "of 4 kinds of model and image 3 meet mb=1; points of others do not train" in out
    pruned, done = in_state(TrialState.PRUNED), in_state(TrialState.COMPLETE)
    refused = [trial for trial in pruned if "refused" in trial.user_attrs]
    assert refused
    for trial in refused:
        assert trial.intermediate_values == {}
        assert trial.user_attrs["refused"] == "mb=1 is the limit, and it takes 1.204"
        assert (trial.params["model"], trial.params["hidden"]) == ("mlp", "big")
    assert len(pruned) > len(refused), "ASHA stopped none by its curve"
    assert {trial.values[1] for trial in done} <= {0.005, 0.116}  # a 16-wide mlp, and the cnn, which has no widths
    front = {trial.number for trial in study().best_trials}
    kept = {int(path.stem) for path in Path("runs/space/weights").glob("*.safetensors")}
    assert kept == front

    again = cli(*RUN)  # goes on with the same study
    assert (again.status, "12 trials are done already" in again.out) == (0, True)
    assert {int(path.stem) for path in Path("runs/space/weights").glob("*.safetensors")} == front

    page = Path("reports/space.md").read_text(encoding="utf-8")
    assert "## The best under each limit\n\nWithin the limits of the last run, mb = 1, trial " in page
    assert "| At most mb | Best val_acc | Trial |" in page
    assert f"({len(refused)} of them refused before they trained, for a limit)" in page
    assert "Ties" not in page
    assert Path("reports/space_files/front.png").is_file()
    assert Path("reports/space_files/hypervolume.png").is_file()

    number = min(front)
    assert cli("export", "space", "--trial", number, "--model", "out").status == 0
    assert Path("out/model.safetensors").is_file()
    Image.new("L", (8, 8)).save("a.png")
    none = cli("predict", "space", "a.png")
    assert (none.status, none.err.count("\n")) == (2, 1)
    assert (
        "2 objectives and no best trial; `search export space --trial N --model DIR` writes the model of one"
        in none.err
    )
    assert cli("predict", "out", "a.png").status == 0


def test_nsga_ii_breeds_from_the_front_and_is_pruned_by_fronts(cli: Any, write: Write) -> None:
    """Generations of four: later ones have parents, although ASHA stops half, and a limit refuses some."""
    chosen = "from optuna.samplers import NSGAIISampler\nsampler = NSGAIISampler(population_size=4, seed=1)\n"
    write("space.py", SPACE + chosen)
    done = cli(*RUN, "--trials", 16)
    assert (done.status, done.err) == (0, "")
    pruned, whole = in_state(TrialState.PRUNED), in_state(TrialState.COMPLETE)
    assert [trial for trial in pruned if trial.intermediate_values], "ASHA stopped none by its curve"
    assert len(pruned) + len(whole) == 16
    key = NSGAIISampler._get_generation_key()
    assert {trial.system_attrs.get(key) for trial in whole} >= {0, 1}, "no generation followed the first"
    assert decisions() == decisions()
    kept = {int(path.stem) for path in Path("runs/space/weights").glob("*.safetensors")}
    assert kept == {trial.number for trial in study().best_trials}
    again = cli(*RUN, "--trials", 17)  # goes on with the generations that there are
    assert again.status == 0
    assert len(study().get_trials()) == 17


def test_the_decision_at_a_rung_reads_stored_values_alone(once: Any, write: Write) -> None:
    write("space.py", SPACE)
    assert once(*RUN).status == 0
    for trial in study().get_trials():
        for step, values in trial.user_attrs.get("rungs", {}).items():
            assert values == [trial.intermediate_values[int(step)], trial.user_attrs["cost"]["megabytes"]]
    assert decisions() == decisions()


LATENCY = """
from search import Float, SearchSpace
space = SearchSpace(model="mlp", hidden=(8,), dataset="digits", epochs=1, subset=100, lr=Float(0.01, 0.1), step_size=1,
    gamma=1.0)
objectives, trials = ("val_acc", "latency_ms"), 3
"""


def test_one_kind_of_model_has_one_latency(cli: Any, write: Write) -> None:
    write("space.py", LATENCY)
    assert cli(*RUN, "--trials", 2).status == 0
    assert cli(*RUN).status == 0  # a later run measures anew, and takes what is known
    done = in_state(TrialState.COMPLETE)
    taken = {trial.values[1] for trial in done}
    assert (len(done), len(taken)) == (3, 1)
    assert {trial.user_attrs["cost"]["latency_ms"] for trial in done} == taken
    assert 0 < taken.pop() < 1000


BY_RUN = """
def space(trial):
    wide = trial.suggest_categorical("wide", [8, 600])
    return dict(model="mlp", hidden=(wide,), dataset="digits", epochs=1, subset=100, lr=0.05, step_size=1, gamma=1.0)
limits, trials = dict(mb=0.1, latency_ms=900), 4
"""


@pytest.mark.whole
@pytest.mark.parametrize("engine", ["inline", "auto"])
def test_a_define_by_run_point_is_measured_by_its_worker(cli: Any, write: Write, engine: str) -> None:
    write("space.py", BY_RUN)
    status, out, err = cli("run", "space.py", "--engine", engine)
    assert (status, err) == (0, "")
    for trial in study().get_trials():
        wide = trial.params["wide"] == 600
        assert (trial.state == TrialState.PRUNED, "refused" in trial.user_attrs) == (wide, wide)
    assert "refused before it trains: mb=0.1 is the limit, and it takes" in out
    assert "of them refused before they trained, for a limit" in Path("reports/space.md").read_text()


BAD = {
    "none": ("limits = dict(mb=0.001)", "space.py:8: limits: no option can meet mb=0.001: the least is 0.005, of mlp"),
    "together": (
        "limits = dict(mb=0.05, latency_ms=1e-7)",
        "no option can meet latency_ms=1e-07: the least is",
    ),
    "cost": ("limits = dict(megabytes=1)", "limits: 'megabytes' is no cost; known are latency_ms, mb"),
    "number": ("limits = dict(mb=-1)", "limits: mb=-1; it must be a number above 0"),
    "kind": ("limits = 20", "limits = 20; it must be like dict(mb=20, latency_ms=30)"),
    "unmeasured": ('objectives = ("val_acc", "mbs")', "objectives = 'mbs' is not measured; did you mean 'mb'?"),
    "cost first": ('objectives = ("mb", "val_acc")', "name first what the training measures"),
    "alone": ("del objectives\nmetric = 'mb'", "name first what the training measures"),
    "both": ("metric = 'val_acc'", "metric and objectives are two names for one thing"),
    "pruner": (
        "from optuna.pruners import MedianPruner\npruner = MedianPruner()",
        "objectives = ('val_acc', 'mb'): this pruner compares one metric; search.ASHA ranks several",
    ),
    "sampler": (
        "from optuna.samplers import TPESampler\nsampler = TPESampler()",
        "Optuna's TPESampler cannot read the curves of trials that were pruned by several objectives",
    ),
    "own": ("def train(config): yield {}", "only the size of our own models is known beforehand"),
}


@pytest.mark.parametrize(("more", "says"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_one_line(cli: Any, write: Write, more: str, says: str) -> None:
    """Before the first trial, with status 2; `BAD` has what is appended to the space file."""
    write("space.py", SPACE + more + "\n")
    status, _, err = cli(*RUN)
    assert (status, says in err, err.count("\n")) == (2, True, 1), err
    assert not Path("studies.db").exists() or not [*study().get_trials()]


YIELDS = """
from search import Float, SearchSpace
space = SearchSpace(x=Float(0, 1))
objectives, direction, trials = ("acc", "size"), ("maximize", "minimize"), 5
def train(config):
    yield {"acc": config["x"]}
"""


def test_an_objective_that_the_training_does_not_yield_ends_the_run(cli: Any, write: Write) -> None:
    write("space.py", YIELDS)
    status, _, err = cli(*RUN)
    assert (status, err.count("\n")) == (2, 1)
    assert (
        "the first trial failed, and others would: user_code: space.py:6: the metric 'size' is missing from what" in err
    )
    assert len(study().get_trials()) == 1
