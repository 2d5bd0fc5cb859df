"""SIGKILL at random moments: of the driver, of a training process, of the whole Ray node; and bits that flip."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live import Run, until
from optuna.trial import TrialState
from soaking import (
    DIGITS,
    TRIALS,
    Subject,
    draw,
    goes_on,
    node,
    record,
    said_again,
    same_as_alone,
    times,
    trainers,
    wait_for,
)

from search import TrainConfig
from search.train import train
from search.train.checkpoints import Checkpoints

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

Strike = Callable[[Subject, Run, random.Random], int]


def killed(
    fault: str, how: str, count: int, strike: Strike, folder: Callable[[str], Path], words: tuple[str, ...] = ()
) -> None:
    """Strike runs until it has happened so often, each study in the end finished by the same command, and checked."""
    chance, struck, again, studies, checked, starts = draw(fault), 0, list[tuple[int, float]](), 0, 0, 0
    subject = None
    try:
        while struck < count:
            subject, studies = Subject(folder(DIGITS), *words), studies + 1
            over = False
            while struck < count and not over:
                run = subject.start()
                temp: set[Path] = set()
                try:
                    while struck < count and run.process.poll() is None:
                        temp |= run.temp()
                        struck += strike(subject, run, chance)
                        subject.look()
                    over = run.process.poll() == 0
                    if run.process.poll() is None:  # it has had enough of it
                        over = wait_for(run, 600)
                finally:
                    subject.gone(run, temp)
                assert "Traceback" not in run.output, run.output
                subject.look()
            trials = subject.finish(TRIALS)
            assert all(trial.state != TrialState.FAIL for trial in trials)
            checked += same_as_alone(trials, chance)
            again += subject.trained_again
            starts += subject.runs
    finally:
        lost = f"{said_again(again)}; {checked} epochs compared with a training never interrupted, all equal"
        record(fault, f"{how}; {studies} studies of the digits, {starts} starts", struck, lost)


@pytest.mark.usefixtures("torch_threads")
def test_the_driver(folder: Callable[[str], Path]) -> None:
    def strike(subject: Subject, run: Run, chance: random.Random) -> int:
        if chance.random() < 0.7:
            until(goes_on(subject, run), "an epoch")
            ended = wait_for(run, chance.uniform(0, 4))
        else:
            ended = wait_for(run, chance.uniform(0, 8))
        if not ended:
            run.process.kill()
            run.process.wait()
        return not ended

    killed("driver killed", "SIGKILL at random moments", times(100), strike, folder)


@pytest.mark.usefixtures("torch_threads")
def test_a_worker(folder: Callable[[str], Path]) -> None:
    def strike(subject: Subject, run: Run, chance: random.Random) -> int:
        until(goes_on(subject, run), "an epoch")
        wait_for(run, chance.uniform(0, 1))
        there = trainers(run)
        if not there or any(trial.user_attrs.get("attempts", 0) > 1 for trial in run.running()):
            return 0  # a trial that dies again and again without an epoch more is given up, as it should
        try:
            os.kill(chance.choice(there), signal.SIGKILL)
        except ProcessLookupError:
            return 0
        return 1

    killed("training process killed", "SIGKILL at random moments", times(100), strike, folder)


@pytest.mark.usefixtures("torch_threads")
def test_the_node(folder: Callable[[str], Path]) -> None:
    def strike(subject: Subject, run: Run, chance: random.Random) -> int:
        until(goes_on(subject, run), "an epoch")
        wait_for(run, chance.uniform(0, 3))
        there = node(run)
        for pid in there:
            os.kill(pid, signal.SIGKILL)
        return bool(there)

    killed(
        "Ray node killed",
        "SIGKILL of raylet and control store at once",
        times(20),
        strike,
        folder,
        ("--engine", "tune"),
    )


@pytest.mark.usefixtures("torch_threads")
def test_a_checkpoint_that_rots(tmp_path: Path) -> None:
    chance, count, whole = draw("checkpoint"), times(100), tmp_path / "whole"
    wanted: dict[str, Any] = dict(model="cnn", dataset="digits", epochs=8, batch_size=64, lr=0.05, gamma=0.5)
    config = TrainConfig(**wanted, step_size=3)
    alone = [epoch.val_acc for epoch in train(config, threads=1)]
    kept = Checkpoints(whole)
    kept.after(0, 1e9, dict)  # what it costs is known, and nothing
    epochs = train(config, threads=1, checkpoints=whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("search.train.checkpoints.OFTEN", 0.0)
        for epoch in epochs:
            if epoch.epoch == 7:
                break
    epochs.close()
    names = sorted(path.name for path in whole.iterdir() if not path.name.startswith("000000"))
    assert [int(name.split(".")[0]) for name in names] == [5, 6]
    for round_ in range(count):
        folder = tmp_path / f"rotten-{round_}"
        shutil.copytree(whole, folder)
        rotten = chance.choice([names[-1:], names[-1:], names])
        for name in rotten:
            content = bytearray((folder / name).read_bytes())
            for _ in range(chance.choice([1, 1, 16])):
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            if content == (whole / name).read_bytes():
                content[0] ^= 1
            (folder / name).write_bytes(content)
        state = Checkpoints(folder).newest(config)
        assert (state and state["epoch"]) == (5 if len(rotten) == 1 else None)
        if round_ % 10 == 0:
            rest = [epoch.val_acc for epoch in train(config, threads=1, checkpoints=folder)]
            assert rest == alone[-len(rest) :]
            assert len(rest) == (3 if len(rotten) == 1 else 8)
        shutil.rmtree(folder)
    lost = "one epoch, trained again from the checkpoint before; all, from the beginning, where both were flipped"
    record("checkpoint rotten", "1 or 16 bits flipped at random, in the last or in both", count, lost)
