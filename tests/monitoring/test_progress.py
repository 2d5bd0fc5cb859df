"""What a person sees: plain lines in a pipe, one live view in a terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from driving import Driven, ask
from rich.console import Console

from search import ASHA, Float, SearchSpace
from search.config import make_config
from search.engine.driver import Driver
from search.engine.messages import Failed, Report
from search.engine.rules import Rules
from search.monitoring.progress import Progress
from search.space.file import SpaceFile
from search.study.study import open_study

BUILT_IN = dict(
    model="cnn", dataset="digits", epochs=3, lr=Float(0.1, 0.5), dropout=Float(0, 0.5), step_size=1, gamma=0.5
)


def make(console: Console, own: bool = True, trials: int = 4) -> tuple[Progress, Driver]:
    space = SearchSpace(**({"x|y": 0.5, "epochs": 3} if own else BUILT_IN))
    file = SpaceFile(
        Path("space.py"),
        "space",
        space,
        (lambda config: iter(())) if own else None,
        metric="score" if own else "val_acc",
        pruner=ASHA(1, 4),
    )
    progress = Progress(console, "s")
    driver = Driven(open_study("sqlite:///studies.db", "s", file), file, Rules(trials=trials), [progress])
    progress.attach(driver)
    return progress, driver


def epoch(last: bool = False, **measured: Any) -> Report:
    return Report(0, measured | {"seconds": 1.0}, 0, last)


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_plain_lines_without_a_terminal(console: Console) -> None:
    progress, driver = make(console)
    with progress.shown():
        good, poor, bad = ask(driver), ask(driver), ask(driver)
        driver.receive(good, epoch(score=0.5))
        driver.receive(poor, epoch(score=0.1))
        driver.receive(good, epoch(score=0.98765, last=True))
        driver.receive(bad, Failed(0, "ValueError: [red]no[/red]"))
        driver.receive(ask(driver), epoch(score=0.6, last=True))
        driver.catch_up()
    assert text_of(console).splitlines() == [
        "[1/4] trial 1 pruned: score 0.1 at epoch 1",
        "[2/4] trial 0 completed: score 0.9877 at epoch 2, best 0.9877 (trial 0)",
        "[3/4] trial 2 FAILED: ValueError: [red]no[/red]; best 0.9877 (trial 0)",
        "[4/4] trial 3 completed: score 0.6 at epoch 1, best 0.9877 (trial 0)",
    ]


def test_the_best_of_earlier_runs_counts(console: Console) -> None:
    _, driver = make(Console(file=io.StringIO()))
    driver.receive(ask(driver), epoch(score=0.9, last=True))
    _, driver = make(console)
    driver.receive(ask(driver), epoch(score=0.5, last=True))
    driver.catch_up()
    assert text_of(console) == "[2/4] trial 1 completed: score 0.5 at epoch 1, best 0.9 (trial 0)\n"


def test_the_live_view_shows_counts_and_the_best_in_the_tables_columns() -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=True, record=True)
    progress, driver = make(console, own=False)
    with progress.shown():
        good, poor, bad, _ = ask(driver), ask(driver), ask(driver), ask(driver)
        measured: dict[str, Any] = dict(last_step_loss=0.25, val_loss=0.5)
        driver.receive(good, epoch(val_acc=0.875, **measured))
        driver.receive(poor, epoch(val_acc=0.1, **measured))
        driver.receive(bad, Failed(0, "no"))
        driver.receive(good, epoch(val_acc=0.9375, last=True, **measured))
        driver.catch_up()
    screen = console.export_text()
    assert "s: 3 of 4 trials done, 1 running, 1 pruned, 1 failed; " in screen
    assert "elapsed, about" in screen
    title, *table = [line for line in screen.splitlines() if line.strip()][-6:]
    assert title.startswith("best so far")
    rows = [[cell.strip() for cell in line.strip("┃│").replace("┃", "│").split("│")] for line in table]
    shown = dict(zip(rows[1], rows[3], strict=True))
    config = make_config(good.settings)
    assert list(shown)[:3] == ["Trial", "Model", "frozen"]
    assert "TESTING ACC" not in shown
    assert shown["Trial"] == "0"
    assert shown["LR"] == f"{config.lr:.4g}"
    assert shown["dropout"] == f"{config.dropout:.4g}"
    assert shown["TRAINING LOSS AT LAST STEP"] == "0.25"
    assert shown["VALIDATION ACC"] == "0.9375"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_note_is_said_once(terminal: bool) -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=terminal, record=True)
    progress, driver = make(console)
    with progress.shown():
        for _ in range(2):
            driver.receive(ask(driver), replace(epoch(score=0.5, last=True), notes=["[x] computed anew"]))
    assert console.export_text().count("trial 0: [x] computed anew") == 1
    assert driver.study.trials[1].user_attrs["notes"] == ["[x] computed anew"]


def test_before_the_first_trial_there_are_counts_alone() -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=True, record=True)
    progress, _ = make(console)
    with progress.shown():
        pass
    screen = console.export_text()
    assert "s: 0 of 4 trials done, 0 running, 0 pruned, 0 failed" in screen
    assert "left" not in screen
    assert "best so far" not in screen


def test_a_narrow_terminal_gets_the_columns_as_pairs() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, record=True)
    progress, driver = make(console, own=False)
    with progress.shown():
        driver.receive(ask(driver), epoch(val_acc=0.875, last=True))
        driver.catch_up()
    screen = console.export_text()
    assert "VALIDATION ACC 0.8750" in screen
    assert "┃" not in screen
