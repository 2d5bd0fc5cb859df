"""SIGKILL at named points: of the driver amid a call of its storage or a rename, of a worker amid a checkpoint."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState
from soaking import DIGITS, FEW, Subject, draw, record, said_again, same_as_alone, times

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

HERE = Path(__file__).parent

QUICK = """
    import time
    from optuna.pruners import NopPruner
    from search import Float, SearchSpace

    space, metric, trials = SearchSpace(x=Float(0, 1), epochs=4), "score", 10
    pruner = NopPruner()

    def train(config):
        for epoch in range(4):
            time.sleep(0.05)
            if epoch == 2 and config["x"] > 0.6:
                raise ValueError("no good")
            yield {"score": config["x"]}
"""
NTH = {"ask": 4, "report": 12, "FAIL": 2, "re-queue": 2, "tell": 3, "write": 60, "export": 2}
"""Up to which call of a run the kill may come."""


def test_the_driver_at_named_points(folder: Callable[[str], Path]) -> None:
    chance = draw("points")
    left = {point: times(10) for point in NTH}
    struck = dict.fromkeys(NTH, 0)
    studies, starts, fruitless = 0, 0, 0
    try:
        while any(left.values()):
            subject, studies = Subject(folder(QUICK)), studies + 1
            for turn in range(12):
                open_ = [point for point in left if left[point]]
                if not open_:
                    break
                # A re-queue needs an interrupted trial, and an export a finished study.
                point = chance.choice([p for p in open_ if p != "re-queue" or turn] or ["report"])
                word = chance.choice(["before", "after"])
                flag = subject.folder / f"flag{turn}"
                program = [sys.executable, str(HERE / "killed_at.py"), f"{point} {word}"]
                run = subject.start(program=[*program, str(chance.randint(1, NTH[point])), str(flag)])
                try:
                    run.process.wait(300)
                finally:
                    subject.gone(run, set())
                subject.look()
                if flag.exists():
                    struck[point] += 1
                    left[point] = max(0, left[point] - 1)
                else:  # the study was finished before
                    assert run.process.returncode == 0, run.output
                    fruitless += 1
                    assert fruitless < 100
                    if point != "export":
                        break
            trials = subject.finish(10)
            for trial in trials:
                failed = trial.params["x"] > 0.6
                assert trial.state == (TrialState.FAIL if failed else TrialState.COMPLETE)
                assert len(trial.intermediate_values) == (2 if failed else 4)
            starts += subject.runs
    finally:
        for point, count in struck.items():
            how = "SIGKILL amid a transaction" if point == "write" else "SIGKILL before it or after"
            record(f"driver killed at: {point}", how, count, "nothing that was reported or told; nothing told twice")
        print(f"{studies} studies, {starts} starts")


@pytest.mark.usefixtures("torch_threads")
@pytest.mark.parametrize("point", ["temp before", "temp after", "rename before", "rename after"])
def test_a_worker_amid_a_checkpoint(point: str, folder: Callable[[str], Path]) -> None:
    chance, count, struck, equal = draw(point), times(10), 0, 0
    again: list[tuple[int, float]] = []
    try:
        while struck < count:
            subject = Subject(folder(DIGITS), "--trials", str(FEW))
            flags = subject.folder / "flags"
            flags.mkdir()
            more = {"PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}", "KILLED_FLAGS": str(flags)}
            run = subject.start(**more, KILLED_AT=point, KILLED_TIMES=str(count - struck))
            try:
                while run.process.poll() is None:
                    subject.look()
            finally:
                subject.gone(run, set())
            trials = subject.finish(FEW)
            struck += len(list(flags.iterdir()))
            assert all(trial.state != TrialState.FAIL for trial in trials)
            equal += same_as_alone(trials, chance)
            again += subject.trained_again
    finally:
        lost = f"{said_again(again)}; {equal} epochs equal to a training never interrupted"
        names = {"temp": "is written, at its fsync", "rename": "is renamed"}
        what, when = point.split()
        record(f"worker killed {when} a checkpoint {names[what]}", "SIGKILL of the training process", struck, lost)
