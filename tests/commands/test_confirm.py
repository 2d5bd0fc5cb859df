"""`search confirm`: real seeds of a real search, interrupted, gone on with, refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Cli, Result
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.analysis.candidates import Candidate, candidates
from search.errors import SearchError
from search.study import study as studies
from search.study.attributes import config_of, ranked
from search.study.storage import open as storages
from search.train.learner import Learner

pytestmark = pytest.mark.usefixtures("sys_path", "torch_threads")
Write = Callable[[str, str], Path]
STORAGE = "sqlite:///studies.db"
SPACE = """
    from search import Float, SearchSpace
    space = SearchSpace(model="cnn", dataset="digits", epochs=1, subset=320, lr=Float(0.01, 0.3), batch_size=16,
                        step_size=1, gamma=0.1, precision="fp32")
    trials, baselines = 3, "rows.csv"
"""
HEAD = "name,model,pretrained,trained_layers,lr,momentum,weight_decay,num_epochs,step_size,gamma"
HEAD += ",training_loss_at_last_step,validation_acc,testing_acc"
CONFIRM = ("confirm", "space", "--engine", "inline")


@pytest.fixture
def searched(once: Cli, write: Write) -> Result:
    """A search of three trials, the first a hand-tuned row; another row is no point of the space, and the best."""
    rows = "Mine,cnn,false,all,0.05,0.9,0,1,1,0.1,1.0,0.5,\nFar,cnn,false,all,0.2,0.5,0,1,1,1.0,1.0,0.9,\n"
    write("rows.csv", f"{HEAD}\n{rows}")
    write("space.py", SPACE)
    done = once("run", "space.py", "--engine", "inline")
    assert done.status == 0, done.err
    return done


def seeds() -> list[FrozenTrial]:
    return studies.load_study(STORAGE, "space.confirm").get_trials()


def pairs(trials: list[FrozenTrial]) -> list[tuple[Any, int]]:
    return [(trial.user_attrs["of"], trial.user_attrs["config"]["seed"]) for trial in trials]


def test_leaders_and_the_best_hand_tuned_row_get_new_seeds(cli: Cli, searched: Result) -> None:
    ranking = [trial.number for trial in ranked(studies.load_study(STORAGE, "space"))]
    status, out, err = cli(*CONFIRM, "--top", 2, "--seeds", 2)
    assert (status, err) == (0, "")
    first, second = ranking[:2]
    assert pairs(seeds()) == [(of, seed) for seed in (1, 2) for of in (first, second, "Far")]
    for trial in seeds():
        assert trial.state == TrialState.COMPLETE
        assert trial.params == {"seed": trial.user_attrs["config"]["seed"]}
        assert trial.user_attrs["test"]["images"] == 450
    far = seeds()[2]
    assert {name: far.user_attrs["config"][name] for name in ("lr", "gamma", "batch_size", "dataset")} == {
        "lr": 0.2, "gamma": 1.0, "batch_size": 16, "dataset": "digits",
    }  # fmt: skip
    assert "[6/6] hand-tuned: Far, seed 2: validation accuracy 0." in out
    assert "Welch's t-test, p = " in out
    page = Path("reports/space.md").read_text()
    assert "## Confirmed" in page
    assert "The study was evaluated 7 times on the test split." in page
    assert "(mean of 2 seeds)" in page
    # More seeds and a higher top: only what is missing. Then nothing is.
    assert cli(*CONFIRM, "--top", 3, "--seeds", 3).status == 0
    added = [(ranking[2], seed) for seed in (1, 2)]
    assert sorted(map(str, pairs(seeds())[6:])) == sorted(map(str, [*added, *((of, 3) for of in (*ranking, "Far"))]))
    status, out, _ = cli(*CONFIRM, "--top", 3, "--seeds", 3)
    assert status == 0
    assert out.startswith("all of that is confirmed already; --seeds, --top or --trial asks for more\n")
    assert len(seeds()) == 12
    assert not list(Path("runs/space.confirm").glob("**/*.safetensors"))
    status, out, _ = cli("status")
    assert "| space.confirm | val_acc  |        |              |" in out


def test_another_trial_and_each_change_of_the_best_undone(cli: Cli, write: Write) -> None:
    """The best trial is no hand-tuned row; those of the file are far from it, one by fewer settings than the other."""
    rows = "Far,cnn,false,all,0.0001,0.5,0.3,1,1,1.0,1.0,0.2,\nNear,cnn,false,all,0.0001,0.9,0,1,1,0.5,1.0,0.1,\n"
    write("rows.csv", f"{HEAD}\n{rows}")
    write("space.py", SPACE)
    assert cli("run", "space.py", "--engine", "inline", "--sealed").status == 0
    first, _, third = (trial.number for trial in ranked(studies.load_study(STORAGE, "space")))
    status, out, err = cli(*CONFIRM, "--top", 1, "--trial", third, "--ablate", "--seeds", 2)
    assert (status, err) == (0, "")
    changes = [trial.user_attrs.get("put_back") for trial in seeds()]
    assert changes[:5] == [
        None, None, None,
        {"row": "Near", "settings": {"lr": 0.0001}}, {"row": "Near", "settings": {"gamma": 0.5}},
    ]  # fmt: skip
    assert pairs(seeds())[:5] == [(of, 1) for of in (first, third, "Far", first, first)]
    assert [config_of(trial)["lr"] for trial in seeds()[2:4]] == [0.0001, 0.0001]
    assert config_of(seeds()[3])["gamma"] == config_of(seeds()[0])["gamma"]
    assert f"trial {first} with lr = 0.0001, seed 2: validation accuracy 0." in out
    page = Path("reports/space.md").read_text()
    assert out.count("| WORTH") == page.count("| WORTH") == 1
    assert "## What each change is worth\n" in page
    assert "evaluated 10 times on the test split" in page
    found = json.loads(cli("report", "space", "--json").out)
    assert [row["of"] for row in found["confirmed"]] == [first, third, "Far"]
    assert [row["settings"] for row in found["ablated"]] == [{"lr": 0.0001}, {"gamma": 0.5}]
    assert max(found["ablated"][0]["test_acc"]) < min(found["confirmed"][0]["test_acc"])  # it has learnt nothing
    assert cli(*CONFIRM, "--top", 1, "--ablate", "--seeds", 2).out.startswith("all of that is confirmed already")
    assert f"--trial 9: the study 'space' has no such trial, its last is {2}" in cli(*CONFIRM, "--trial", 9).err


def test_a_run_looks_once_and_never_again(cli: Cli, searched: Result) -> None:
    study = studies.load_study(STORAGE, "space")
    first = ranked(study)[0]
    assert f"trial {first.number}: test accuracy 0." in searched.out
    assert [path.name for path in Path("runs/space/weights").iterdir()] == [f"{first.number}.safetensors"]
    looked = study.user_attrs["tests"]
    assert list(looked) == [str(first.number)]
    assert looked[str(first.number)]["images"] == 450
    assert cli("run", "space.py", "--engine", "inline").status == 0
    assert studies.load_study(STORAGE, "space").user_attrs["tests"] == looked
    # The kept weights are the config's: trained again, they have the same number.
    out = cli("train", "reports/space.best.yaml").out
    assert f"test accuracy       {looked[str(first.number)]['test_acc']:.4f}\n" in out
    assert "The study was evaluated 2 times on the test split." in Path("reports/space.md").read_text()


def test_sealed_leaves_it_and_lost_weights_are_said(cli: Cli, write: Write) -> None:
    write("space.py", SPACE.replace(', "rows.csv"', "").replace("trials, baselines = 3", "trials = 1"))
    run = ("run", "space.py", "--engine", "inline")
    done = cli(*run, "--sealed")
    assert done.status == 0
    assert "test accuracy" not in done.out
    assert "The study was not evaluated on the test split." in Path("reports/space.md").read_text()
    weights = Path("runs/space/weights/0.safetensors")
    content = weights.read_bytes()
    weights.unlink()
    assert (
        "trial 0: its weights are not here, so it is not evaluated on the test split; `search train`" in cli(*run).out
    )
    weights.write_bytes(content[:200])
    assert "trial 0: the test split could not be evaluated: " in cli(*run).out
    weights.write_bytes(content)
    assert "trial 0: test accuracy 0." in cli(*run).out


@pytest.mark.whole
def test_killed_it_goes_on_where_it_was(cli: Cli, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """And after Ctrl-C, here as the next trial begins its third epoch."""
    write("space.py", SPACE.replace(', "rows.csv"', "").replace("trials, baselines = 3", "trials = 1").replace(
        "epochs=1, subset=320", "epochs=15, subset=32"
    ))  # fmt: skip
    assert cli("run", "space.py", "--engine", "inline", "--sealed").status == 0
    words = [str(Path(sys.executable).parent / "search"), *CONFIRM, "--top", "1", "--seeds", "3"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "trial 0, seed" in line:
                break
        process.kill()
    assert {trial.state for trial in seeds()} != {TrialState.COMPLETE}
    begin = Learner.begin

    def interrupted(learner: Learner, number: int) -> float:
        if number == 3:
            signal.raise_signal(signal.SIGINT)
        return begin(learner, number)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "begin", interrupted)
        status, out, _ = cli(*words[1:])
    assert status == 130
    assert "of 3 trials are done; to go on: search confirm space --engine inline --top 1 --seeds 3\n" in out
    status, out, _ = cli(*words[1:])
    assert status == 0
    assert pairs(seeds()) == [(0, 1), (0, 2), (0, 3)]
    assert [trial.state for trial in seeds()] == [TrialState.COMPLETE] * 3
    assert [sorted(trial.intermediate_values) for trial in seeds()] == [list(range(1, 16))] * 3


def test_two_at_once_are_one_too_many(cli: Cli, searched: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    made = optuna.create_study(storage=storages.connect(STORAGE), study_name="space.confirm", direction="maximize")
    made.set_user_attr("space", {"confirms": "space"})
    made.set_user_attr("metric", "val_acc")
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    try:
        held = {"host": os.uname().nodename, "pid": sleeper.pid, "token": "other", "beat": time.time()}
        made.set_user_attr("driver", held)
        status, _, err = cli(*CONFIRM)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert status == 2
    assert f"'space.confirm' is being run by process {sleeper.pid}" in err
    assert not made.get_trials()

    @contextmanager
    def lost(study: optuna.Study) -> Iterator[Callable[[], None]]:
        def ours() -> None:
            raise SearchError("it went to another")

        yield ours

    monkeypatch.setattr("search.commands.steps.confirm.lease", lost)
    status, _, err = cli(*CONFIRM)
    assert (status, "it went to another" in err) == (2, True)
    assert not any(trial.intermediate_values for trial in made.get_trials())


def test_what_cannot_be_trained_here(cli: Cli, searched: Result, write: Write) -> None:
    """A hand-tuned row is left out with the reason; a trial of the study is an error."""
    study = studies.load_study(STORAGE, "space")
    rows = study.user_attrs["baselines"]
    rows[1]["settings"]["weights"] = "nowhere.pth"
    study.set_user_attr("baselines", rows)
    status, out, _ = cli(*CONFIRM, "--top", 1, "--seeds", 1)
    assert status == 0
    assert "left out: hand-tuned Far: " in out
    assert "nowhere.pth" in out
    assert len(seeds()) == 1
    attrs = {"config": {**config_of(study.trials[0]), "model": "gone"}, "epoch": {"val_acc": 1.0}}
    study.add_trial(create_trial(value=1.0, user_attrs=attrs))
    status, _, err = cli(*CONFIRM, "--top", 1, "--seeds", 1)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("search: trial 3: ")
    assert len(seeds()) == 1


def test_studies_that_cannot_be_confirmed(cli: Cli) -> None:
    storage = storages.connect(STORAGE)
    made: dict[str, tuple[list[Any], dict[str, Any], str]] = {
        "two": (["maximize", "minimize"], {}, "has 2 objectives and no leaders"),
        "own": (["maximize"], {"own_train": True}, "has a train() of its own that is told no seed"),
        "plain": (["maximize"], {}, "was not made by `search run`"),
        "x.confirm": (["maximize"], {"confirms": "x"}, "is a confirmation itself"),
        "empty": (["maximize"], {"own_train": False}, "has no completed trial to confirm"),
    }
    for name, (directions, attrs, says) in made.items():
        study = optuna.create_study(storage=storage, study_name=name, directions=directions)
        for key, value in attrs.items():
            study.set_user_attr(key, value)
        if name != "empty":
            study.add_trial(create_trial(values=[0.5] * len(directions), user_attrs={"config": {"x": 1}}))
        with pytest.raises(SearchError, match=r".") as caught:
            candidates(study, 3)
        assert says in str(caught.value)
        status, _, err = cli("confirm", name, "--engine", "inline")
        assert (status, err) == (2, f"search: {caught.value}\n")
    status, _, err = cli("confirm", "emty")
    assert status == 2
    assert "did you mean 'empty'?" in err
    assert len(storage.get_all_studies()) == len(made)


def test_seeds_are_new() -> None:
    assert Candidate(0, None, {"seed": 0}).seeds(3) == [1, 2, 3]
    assert Candidate(0, None, {"seed": 2}).seeds(3) == [0, 1, 3]


NET = """
    from pathlib import Path
    from torch import nn
    Path("ran").touch()
    def net(classes, channels):
        return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * channels, classes))
"""


def test_a_model_that_only_the_storage_names_is_not_run(cli: Cli, write: Write, tmp_path: Path) -> None:
    write("net.py", NET)
    write("space.py", SPACE.replace('"cnn"', '"net.py:net"').replace('trials, baselines = 3, "rows.csv"', "trials = 1"))
    assert cli("run", "space.py", "--engine", "inline").status == 0
    assert cli(*CONFIRM, "--seeds", 1).status == 0  # a run in this folder has used it
    (tmp_path / "runs").rename(tmp_path / "cleared")
    (tmp_path / "ran").unlink()
    status, out, err = cli(*CONFIRM, "--seeds", 2)
    assert (status, out) == (2, "")
    assert f"names code that no run in this folder has used, {tmp_path}/net.py: look at it, and name the space" in err
    made = studies.load_study(STORAGE, "space.confirm")
    made.enqueue_trial({"seed": 9}, user_attrs={"of": 0, "config": {**config_of(made.trials[0]), "dataset": "x.py:f"}})
    write("other.py", SPACE)
    assert cli(*CONFIRM, "--seeds", 2, "--space", "other.py").status == 2
    assert not (tmp_path / "ran").exists()
    assert cli(*CONFIRM, "--seeds", 2, "--space", "space.py").status == 0
    foreign = studies.load_study(STORAGE, "space.confirm").trials[1]
    assert (foreign.state.name, "names code that no run" in foreign.user_attrs["error"]) == ("FAIL", True)
