"""Ctrl-C and SIGTERM, trials that fail in every way, two runs of one study, many first starts at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from live import BIN, Run, until
from optuna.trial import TrialState
from soaking import DIGITS, FEW, TRIALS, Subject, draw, goes_on, record, said_again, times, wait_for

from search.engine.failures import kind
from search.study.study import load_study

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


def test_interrupted(folder: Callable[[str], Path]) -> None:
    chance, subject, struck = draw("interrupted"), Subject(folder(DIGITS)), 0
    again: list[tuple[int, float]] = []
    turns = [signal.SIGINT, signal.SIGTERM] * times(10)
    for number in turns:
        run = subject.start()
        temp: set[Path] = set()
        try:
            until(goes_on(subject, run), "an epoch")
            temp = run.temp()
            if not wait_for(run, chance.uniform(0, 2)):
                os.killpg(run.process.pid, number) if number == signal.SIGINT else run.process.terminate()
                assert run.process.wait(60) == 128 + number, run.output
                assert "to go on: search run space.py" in run.output.strip().splitlines()[-1], run.output
                struck += 1
        finally:
            subject.gone(run, temp)
        assert "Traceback" not in run.output, run.output
        assert [trial for trial in subject.look() if trial.state == TrialState.RUNNING] == []
        if run.process.returncode == 0:
            subject.finish(TRIALS)
            again += subject.trained_again
            subject = Subject(folder(DIGITS))
    subject.finish(TRIALS)
    again += subject.trained_again
    how = "SIGINT to the run's whole session or SIGTERM to the driver, in turn, at random moments"
    record("Ctrl-C, SIGTERM", how, struck, said_again(again))


KINDS = """
    import os, resource, signal, time
    from search import Float
    from optuna.pruners import NopPruner

    count = {count}
    kinds = [kind for _ in range(count) for kind in ("good", "hangs", "stopped", "nan", "inf", "memory", "oom-kill")]
    metric, trials, pruner = "score", len(kinds), NopPruner()

    def space(trial):
        return {{"x": trial.suggest_float("x", 0, 1), "kind": kinds[trial.number], "epochs": 3}}

    def train(config):
        for epoch in range(3):
            kind = config["kind"] if epoch == 1 else "good"
            if kind == "hangs":
                time.sleep(600)
            if kind == "stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
            if kind == "memory":
                resource.setrlimit(resource.RLIMIT_AS, (2**30, resource.RLIM_INFINITY))
                try:
                    bytearray(2**33)
                finally:
                    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            if kind == "oom-kill":
                os.kill(os.getpid(), signal.SIGKILL)
            yield {{"score": float(kind) if kind in ("nan", "inf") else config["x"]}}
"""
FAILURES = {
    "hangs": ("timeout", "trial that hangs", "a sleep of ten minutes, `--trial-timeout 3s`"),
    "stopped": ("timeout", "training process stopped", "SIGSTOP, `--trial-timeout 3s`, SIGCONT five seconds later"),
    "nan": ("diverged", "loss is NaN", "an epoch that yields it"),
    "inf": ("diverged", "loss is infinite", "an epoch that yields it"),
    "memory": ("oom", "a trial out of memory", "MemoryError of the allocator, beside another trial and then alone"),
    "oom-kill": (
        "node_lost",
        "a trial that the kernel kills for its memory",
        "SIGKILL by itself, three times in a row",
    ),
}


def test_trials_that_fail(folder: Callable[[str], Path]) -> None:
    count = times(10)
    subject = Subject(folder(KINDS.format(count=count)), "--trial-timeout", "3s", "--max-failures", "0")
    run = subject.start()
    stopped: dict[int, float] = {}
    try:
        while run.process.poll() is None:
            for pid in run.alive():
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] if _there(pid) else ""
                if state == "T" and time.monotonic() - stopped.setdefault(pid, time.monotonic()) > 5:
                    os.kill(pid, signal.SIGCONT)  # past every limit, and nobody waits for it
            time.sleep(0.3)
        assert run.process.returncode == 0, run.output
    finally:
        subject.gone(run, set())
    assert "Traceback" not in run.output, run.output
    trials = subject.finish(7 * count)
    for name, (failure, fault, how) in FAILURES.items():
        found = [trial for trial in trials if trial.user_attrs["config"]["kind"] == name]
        assert len(found) == count
        for trial in found:
            assert (trial.state, kind(trial.user_attrs["error"])) == (TrialState.FAIL, failure), trial
            assert trial.last_step == 1
        record(fault, how, count, f"the trial: FAIL, `{failure}`; no other")
    assert Counter(trial.state for trial in trials)[TrialState.COMPLETE] == count


def _there(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").exists()


WAITS = """
    import time
    from pathlib import Path
    from search import Float, SearchSpace

    space, metric, trials = SearchSpace(x=Float(0, 1), epochs=2), "score", 2

    def train(config):
        yield {"score": config["x"]}
        while not (Path(__file__).parent / "go").exists():
            time.sleep(0.1)
        yield {"score": config["x"]}
"""


def test_two_runs_of_one_study(folder: Callable[[str], Path]) -> None:
    subject = Subject(folder(WAITS))
    count = times(10)
    run = subject.start()
    try:
        until(goes_on(subject, run), "an epoch")
        for _ in range(count):
            second = [str(BIN / "search"), "run", "space.py", "--engine", "inline"]
            said = subprocess.run(second, cwd=subject.folder, capture_output=True, text=True, check=False)
            assert said.returncode == 2, said
            assert re.search(
                rf"is being run by process {run.process.pid} on \S+; stop that first$", said.stderr.strip()
            )
        (subject.folder / "go").touch()
        assert run.process.wait(600) == 0, run.output
    finally:
        subject.gone(run, set())
    subject.finish(2)
    record("two runs of one study", "a second one while the first trains", count, "nothing; the second is refused")


def test_many_first_starts_at_once(folder: Callable[[str], Path]) -> None:
    space = """
        from search import Float, SearchSpace
        space, metric, trials = SearchSpace(x=Float(0, 1), epochs=2), "score", 3

        def train(config):
            for epoch in range(2):
                yield {"score": config["x"]}
    """
    count = times(10)
    for _ in range(count):
        home = folder(space)
        runs = []
        for number in range(16):
            place = home / str(number)
            place.mkdir()
            (place / "space.py").write_text((home / "space.py").read_text())
            words = ["--engine", "inline", "--storage", f"sqlite:///{home}/studies.db", "--name", f"study{number}"]
            runs.append(Run(place, *words))
        try:
            for run in runs:
                assert run.process.wait(300) == 0, run.output
        finally:
            for run in runs:
                run.end()
        for number in range(16):
            study = load_study(f"sqlite:///{home}/studies.db", f"study{number}")
            assert [trial.state for trial in study.get_trials()] == [TrialState.COMPLETE] * 3
    record("16 first starts at once", "on one empty SQLite file, each with a study of its own", count, "nothing")


def test_a_driver_that_sleeps_until_another_took_over(folder: Callable[[str], Path]) -> None:
    count = times(10)
    for _ in range(count):
        subject = Subject(folder(DIGITS), "--trials", str(FEW))
        run = subject.start()
        try:
            until(goes_on(subject, run), "an epoch")
            os.kill(run.process.pid, signal.SIGSTOP)
            time.sleep(31)
            words = ["--engine", "inline", "--trials", str(FEW)]
            done = subprocess.run(
                [str(BIN / "search"), "run", "space.py", *words], cwd=subject.folder, capture_output=True, text=True
            )
            assert done.returncode == 0, done
            subject.look()
            os.kill(run.process.pid, signal.SIGCONT)
            assert run.process.wait(120) == 2, run.output
            assert re.search(
                r"search: the study 'space' went to .* while this process was stopped$", run.output.strip()
            )
        finally:
            subject.gone(run, set())
        subject.finish(FEW)
    how = "SIGSTOP for 31 s, another run meanwhile, SIGCONT: its late results are refused by its lease"
    record("driver stopped and continued", how, count, "nothing; nothing told twice")
