"""What a person sees while a search runs: one live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from optuna.trial import TrialState
from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from search.analysis.view import varying
from search.config import is_train_config
from search.engine.driver import Driver
from search.engine.trial import ActiveTrial
from search.errors import visible
from search.format import duration, format_number, plural
from search.monitoring.cell import Cell
from search.reporting import columns
from search.study.attributes import config_of, epoch_of, leading


class Progress:
    """Follows a driver: trials done, running, pruned, failed; the best so far in the table's own columns; time."""

    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name = console, name
        self._start = time.monotonic()
        self._driver: Driver | None = None
        self._done = 0
        self._best: tuple[float, int, dict[str, Any], dict[str, Any]] | None = None
        self._plain = not console.is_terminal and not console.is_jupyter
        self._cell: Cell | None = None
        self._said: set[str] = set()
        self._varied: set[str] = set()
        self._first: dict[str, Any] = {}

    def attach(self, driver: Driver) -> None:
        """Follow `driver`, beginning with the best that its study has already."""
        self._driver, self._done = driver, driver.at_start
        for trial in leading(driver.study)[:1] if not driver.space.further else ():
            epoch = epoch_of(trial)
            value = epoch.get(driver.space.metric, trial.value or 0.0)  # the storage makes a float of an integer
            self._best = (value, trial.number, config_of(trial), epoch)
            self._compare(trial.params, self._best[2])

    def _compare(self, searched: Iterable[str], settings: dict[str, Any]) -> None:
        """Which settings are worth a column: what the search draws, and what differs between the trials."""
        self._first = self._first or settings
        self._varied |= varying(searched, settings, self._first)

    def say(self, line: str) -> None:
        """Print a line that is not about a trial's end, above the live view."""
        self._console.out("\n".join(map(visible, line.split("\n"))), highlight=False)

    def on_epoch(self, trial: ActiveTrial) -> None:
        if self._cell is not None:
            self._cell.update()
        for note in trial.last.notes:
            if note not in self._said:
                self._said.add(note)
                self.say(f"trial {trial.number}: {note}")

    def on_end(self, trial: ActiveTrial, state: TrialState, reason: str) -> None:
        driver = self._driver
        assert driver is not None
        self._done += 1
        self._compare(trial.trial.params, trial.settings)
        metric = driver.space.metric
        value = trial.last.epoch.get(metric)
        if (
            state == TrialState.COMPLETE
            and trial.feasible
            and value is not None
            and math.isfinite(value)
            and not driver.space.further
            and (self._best is None or driver.retention.better(value, self._best[0]))
        ):
            self._best = (value, trial.number, trial.settings, trial.last.epoch)
        if self._cell is not None:
            self._cell.update()
        if self._plain:
            values = ", ".join(f"{goal} {format_number(trial.reached(goal))}" for goal in driver.space.goals)
            what = reason if reason else f"{values} at epoch {trial.last.step}"
            what += "" if trial.feasible else " (infeasible)"
            best = f"best {format_number(self._best[0])} (trial {self._best[1]})" if self._best else ""
            best = f"{'; ' if reason else ', '}{best}" if best else ""
            self.say(f"[{self._done}/{driver.trials}] trial {trial.number} {_WORDS[state]}: {what}{best}")

    def _counts(self) -> Text:
        driver = self._driver
        if driver is None:
            return Text(f"{self._name}: starting")
        counts = driver.counts
        elapsed = time.monotonic() - self._start
        here = counts.total() - driver.at_start
        left = f", about {duration(elapsed / here * (driver.trials - counts.total()))} left" if here else ""
        return Text(
            f"{self._name}: {counts.total()} of {plural(driver.trials, 'trial')} done, {len(driver.live)} running, "
            f"{counts[TrialState.PRUNED]} pruned, {counts[TrialState.FAIL]} failed; "
            f"{duration(elapsed)} elapsed{left}"
        )

    def _share(self) -> tuple[int, int]:
        return (self._done, self._driver.trials) if self._driver is not None else (0, 1)

    def _view(self) -> Group:
        if self._best is None or self._driver is None:
            return Group(self._counts())
        _, number, config, epoch = self._best
        trainer = is_train_config(config)
        cells = {"Trial": str(number)} | columns.settings(config, sorted(self._varied), [self._driver.space.metric])
        cells |= columns.results(self._driver.space.metric, epoch, None, trainer)
        cells.pop(columns.TEST, None)
        cells = {name: columns.unescaped(cell) for name, cell in cells.items()}
        table = Table(*(Column(Text(name)) for name in cells), title="best so far", title_justify="left")
        table.add_row(*map(Text, cells.values()))  # not as Rich's markup, which a label may look like
        unbounded = self._console.options.update_width(10_000)
        if self._console.measure(table, options=unbounded).maximum <= self._console.width:
            return Group(self._counts(), table)
        pairs = [Text.assemble((f"{column} ", "dim"), value) for column, value in cells.items()]
        return Group(self._counts(), Text("best so far", "italic"), Columns(pairs, padding=(0, 3)))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the live view while the block runs; in the end, leave its last state on the screen."""
        if self._plain:
            yield
            return
        if self._console.is_jupyter:
            self._cell = Cell(self._view, self._share)
            try:
                yield
            finally:
                self._cell.update(now=True)
                self._cell = None
            return
        with Live(get_renderable=self._view, console=self._console, refresh_per_second=4):
            yield


_WORDS = {TrialState.COMPLETE: "completed", TrialState.PRUNED: "pruned", TrialState.FAIL: "FAILED"}
