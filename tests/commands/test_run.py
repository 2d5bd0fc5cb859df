"""`search run` end to end, one trial at a time in this process; with Ray it runs in test_tune.py."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from live import until
from optuna.trial import TrialState
from rich.console import Console

from search.commands.steps import run
from search.engine.messages import WorkerConfig
from search.engine.processes import forkserver
from search.engine.processes.places import Resources
from search.engine.ray import tune
from search.files import mounts
from search.study import lease as leases
from search.study import study as studies
from search.study.attributes import ranked

pytestmark = pytest.mark.usefixtures("sys_path")
Write = Callable[[str, str], Path]
CORES = len(os.sched_getaffinity(0))
RUN = ("run", "space.py", "--engine", "inline")
HEAD = """
import time
from pathlib import Path
from search import Choice, Float, SearchSpace
space = SearchSpace(x=Float(0, 1), kind=Choice("plain", "odd"))
metric, trials = "score", 2
"""
DIGITS = """
from search import Float, SearchSpace
space = SearchSpace(model="cnn", dataset="digits", epochs=1, subset=320, lr=Float(0.01, 0.3), batch_size=64,
                    step_size=1, gamma=0.1, precision="fp32")
trials = 1
"""
PLAIN = """
def train(config):
    for _ in range(3):
        yield {"score": config["x"], "kind": config["kind"]}
"""
SLOW = """
def train(config):
    for _ in range(10000):
        yield {"score": config["x"]}
        if Path("hurry").exists():
            return
        time.sleep(0.1)
"""


def trials(name: str = "space") -> list[Any]:
    return studies.load_study("sqlite:///studies.db", name).get_trials()


def test_digits_from_the_space_file_to_table_and_yaml(cli: Any, write: Write) -> None:
    text = """
        from search import Float, SearchSpace
        space = SearchSpace(model="cnn", dataset="digits", epochs=30, lr=Float(0.01, 0.3, log=True), batch_size=64,
                            step_size=5, gamma=0.1, precision="fp32")
    """
    write("space.py", text)
    status, out, _ = cli(*RUN, "--trials", 2, "--epochs", 1, "--set", "lr=0.1", "--name", "short")
    assert status == 0
    assert Path("reports/short.md").is_file()
    assert Path("reports/short.best.yaml").is_file()
    assert "in this process; no GPU: training on" in out or torch.cuda.is_available()
    assert re.search(r"\| VALIDATION ACC +\| TESTING ACC +\|", out)
    assert "search train reports/short.best.yaml" in out
    assert "search dashboard short" in out
    for trial in trials("short"):
        assert trial.state == TrialState.COMPLETE
        assert (trial.user_attrs["config"]["epochs"], trial.user_attrs["config"]["lr"]) == (1, 0.1)
        assert trial.value == trial.user_attrs["epoch"]["val_acc"] > 0.2
        assert trial.user_attrs["ran_on"]["precision"] == "fp32"
    assert list(Path("runs/short/tensorboard/trial-0001").iterdir())


def test_a_search_on_few_images_hands_its_best_to_the_next(cli: Any, write: Write) -> None:
    """Stages: broadly on a part of the training split, then on all of it, from the best configs on."""
    text = """
        from search import Choice, Float, SearchSpace
        space = SearchSpace(model="mlp", hidden=(8,), dataset="digits", epochs=1, lr=Float(0.01, 0.3, log=True),
                            momentum=Choice(0.5, 0.9), schedule="constant", precision="fp32", batch_size=64)
        trials = 2
    """
    write("space.py", text)
    assert cli(*RUN, "--subset", 300, "--name", "broad").status == 0
    broad = ranked(studies.load_study("sqlite:///studies.db", "broad"))
    assert [trial.user_attrs["config"]["subset"] for trial in broad] == [300] * 2
    status, out, _ = cli(*RUN, "--from", "broad", "--trials", 3)
    assert status == 0
    assert "the best of broad that go first: 2\n" in out
    later = trials()
    assert [trial.params for trial in later[:2]] == [trial.params for trial in broad]
    assert [trial.user_attrs["config"]["subset"] for trial in later] == [None] * 3
    assert later[0].user_attrs["from"] == f"broad, trial {broad[0].number}"
    # Again: nothing is queued twice.
    status, out, _ = cli(*RUN, "--from", "broad", "--trials", 4)
    assert "the best of broad that go first: 0; already in this study: 2\n" in out
    assert [trial.number for trial in trials()] == [0, 1, 2, 3]


def test_a_cache_on_a_network_is_named_with_the_remedy(
    cli: Any, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("space.py", DIGITS)
    monkeypatch.setattr(mounts, "_MOUNTS", write("mounts", f"nas:/home {tmp_path}/cache nfs4 rw 0 0\n"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    status, out, _ = cli(*RUN)
    assert status == 0
    where = f"the image cache {tmp_path}/cache/search is on a network file system (nfs4)"
    assert f"{where}, and training reads from it: XDG_CACHE_HOME=DIR puts it on a local disk\n" in out


def test_the_best_of_an_earlier_study_go_before_hand_tuned_rows(cli: Any, write: Write) -> None:
    head = "name,model,pretrained,trained_layers,lr,momentum,weight_decay,num_epochs,step_size,gamma"
    head += ",training_loss_at_last_step,validation_acc,testing_acc"
    write("rows.csv", f"{head}\nMine,cnn,false,all,0.05,0.9,0,1,1,0.1,1.0,0.5,\n")
    write("space.py", DIGITS)
    assert cli(*RUN, "--name", "broad").status == 0
    write("space.py", DIGITS.replace("trials = 1", "trials, baselines = 2, 'rows.csv'"))
    assert cli(*RUN, "--from", "broad").status == 0
    assert [sorted(trial.user_attrs.keys() & {"from", "baseline"}) for trial in trials()] == [["from"], ["baseline"]]


def test_a_run_goes_on_where_it_was_and_counts_what_is_done(cli: Any, write: Write) -> None:
    write("space.py", HEAD + PLAIN)
    status, out, err = cli(*RUN)
    assert (status, err) == (0, "")
    assert "[2/2] trial 1 completed" in out
    assert "search train" not in out  # it could not: the train() is the user's own
    status, out, _ = cli(*RUN)
    assert status == 0
    assert out.startswith("maximise score\n2 trials are done already; --trials asks for more\n")
    assert "[" not in out.partition("report ")[2]
    assert cli(*RUN, "--trials", 3).status == 0
    assert [trial.number for trial in trials()] == [0, 1, 2]


def test_a_run_in_which_nothing_completed_exits_1_with_the_reasons(cli: Any, write: Write) -> None:
    write("space.py", HEAD + '\ndef train(config):\n    raise ValueError("no good")\n    yield\n')
    status, out, err = cli(*RUN)
    assert (status, err) == (1, "search: no trial completed; reports/space.md has the reasons\n")
    assert "trial 0 FAILED: user_code: space.py:9: raise ValueError" in out
    report = Path("reports/space.md").read_text()
    assert "- trial 1: user_code: space.py:9: raise ValueError" in report
    assert not Path("reports/space.best.yaml").exists()


def test_one_failure_does_not_stop_the_others(cli: Any, write: Write) -> None:
    text = """
def train(config):
    if not Path("seen").exists():
        Path("seen").touch()
        raise ValueError("first")
    yield {"score": 1.0}
"""
    write("space.py", HEAD + text)
    assert cli(*RUN).status == 0
    assert [trial.state.name for trial in trials()] == ["FAIL", "COMPLETE"]


def test_orphans_of_a_run_that_was_killed_go_first(cli: Any, write: Write) -> None:
    write("space.py", HEAD + PLAIN)
    assert cli(*RUN, "--trials", 1).status == 0
    study = studies.load_study("sqlite:///studies.db", "space")
    orphan = study.ask()
    x = orphan.suggest_float("x", 0, 1)
    status, out, _ = cli(*RUN, "--trials", 3)
    assert status == 0
    assert "interrupted trials that go on first: 1\n" in out
    assert out.index("trial 1 completed") < out.index("trial 2 completed")
    assert trials()[1].params["x"] == x


STOLEN = """
import os
from search.study.study import load_study

def train(config):
    theirs = {"host": os.uname().nodename, "pid": os.getppid(), "token": "theirs", "beat": time.time() + 600}
    load_study("sqlite:///studies.db", "space").set_user_attr("driver", theirs)
    for _ in range(300):
        yield {"score": config["x"]}
        time.sleep(0.05)
"""


def test_who_lost_the_study_ends_and_leaves_it_alone(cli: Any, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that was stopped for so long that another took the study over."""
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.6)
    write("space.py", HEAD + STOLEN)
    status, _, err = cli(*RUN)
    assert status == 2
    assert f"the study 'space' went to process {os.getppid()}" in err
    assert [trial.state for trial in trials()] == [TrialState.RUNNING]  # which is the other's to put back
    assert studies.load_study("sqlite:///studies.db", "space").user_attrs["driver"]["token"] == "theirs"


def test_sigterm_exits_143_and_says_how_to_go_on(write: Write) -> None:
    write("space.py", HEAD + SLOW)
    search = Path(sys.executable).parent / "search"
    process = subprocess.Popen([search, *RUN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: Path("studies.db").exists() and Path("runs").exists(), "an epoch")
        os.kill(process.pid, signal.SIGTERM)
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
    assert (process.returncode, err) == (143, "")
    assert "terminated; 0 of 2 trials are done; to go on: search run space.py --engine inline\n" in out
    assert [trial.state for trial in trials()] == [TrialState.WAITING]
    assert studies.load_study("sqlite:///studies.db", "space").user_attrs["driver"] is None


@pytest.mark.whole
def test_the_trials_that_share_a_gpu_are_counted_beside_the_run(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray is told of a GPU; what measures, in a process of its own, finds the one that is here, or the CPU."""
    path = write("space.py", DIGITS)
    there = {"CPU": 16.0, "GPU": 1.0}
    monkeypatch.setattr("ray.cluster_resources", lambda: there)
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": there}])
    with forkserver.run_fork_server(("search.doctor.gpu_share",)) as forks:
        engine = tune.Tune(forks, WorkerConfig("data", "auto", 1), Resources(0, 0), 0).placed(None, None)
        shared, why = run._sharing(engine, (str(path), [], tmp_path), None, Console(width=1000))
    found = re.match(r"gpus_per_trial=auto: (\d+) on a GPU, which has memory for \d+, CPUs for 16", why)
    assert found is not None
    assert shared.slots == int(found[1])
    assert shared.resources.gpus == pytest.approx(1 / shared.slots, abs=1e-4)


@pytest.mark.parametrize(
    ("space", "words", "message"),
    [
        ("", ("--gpus-per-trial", "1.5"), "a trial takes a part of one GPU, or a whole number of them"),
        ("resources = dict(gpus=1.5)", (), "--gpus-per-trial 1.5: a trial takes a part of one GPU"),
        ("", ("--gpus-per-trial", "2", "--engine", "inline"), "--gpus-per-trial 2 trains a trial in a process for"),
    ],
)
def test_gpus_that_a_trial_cannot_have_are_refused(
    cli: Any, write: Write, space: str, words: tuple[str, ...], message: str
) -> None:
    write("space.py", DIGITS + space)
    status, _, err = cli(*RUN, *words)
    assert status == 2
    assert message in err
    assert [path.name for path in Path().iterdir() if path.name != "__pycache__"] == ["space.py"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "kind=other"], "--set kind=other: kind is one of plain, odd"),
        (["--set", "kimd=odd"], "did you mean 'kind'?"),
        (["--name", "../up"], "--name"),
        (["--from", "broad"], "no storage sqlite:///studies.db"),
        (["--from", "space"], "--from space: that is this study itself"),
        (["--gpus-per-trial", "autp"], "--gpus-per-trial autp: write a number such as 1 or 0.25, or auto"),
        (["--gpus-per-trial=-1"], "--gpus-per-trial -1: write a number such as 1 or 0.25, or auto"),
        (["--gpus-per-trial", "nan"], "--gpus-per-trial nan: write a number such as 1 or 0.25, or auto"),
        (["--gpus-per-trial", "auto"], "with a train() of your own, say a number"),
        (["--budget", "2gpuh"], "--budget 2gpuh: the trials take no GPU here; --budget 2cpuh counts CPU time"),
        (["--subset", "9"], "--set subset=9: unknown setting 'subset'"),
    ],
)
def test_wrong_words_are_one_line_and_create_nothing(cli: Any, write: Write, words: list[str], message: str) -> None:
    write("space.py", HEAD + PLAIN)
    status, _, err = cli(*RUN, *words)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
    assert [path.name for path in Path().iterdir() if path.name != "__pycache__"] == ["space.py"]
