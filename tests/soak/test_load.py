"""A study as long as none that people run, and more workers than a machine of theirs has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from optuna.trial import TrialState
from soaking import SHARE, record, times

from benchmarks import load
from search.study.study import load_study

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]


def test_ten_thousand_trials(tmp_path: Path) -> None:
    count = times(10_000)
    first, last = load.run(tmp_path, count, count // 10)
    trials = load_study(f"sqlite:///{tmp_path}/studies.db", "space").get_trials(deepcopy=False)
    assert [trial.number for trial in trials] == list(range(count))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    slower, busier = last.wall / first.wall, last.cpu["the driver"] / first.cpu["the driver"]
    assert SHARE < 1 or slower < 2  # a tenth is too short to tell
    took = f"{first.wall:.1f} ms a trial in the first {count // 10:,}, {last.wall:.1f} in the last"
    lost = f"nothing; {took}: {slower:.2f} times, and {busier:.2f} times of the driver's CPU time"
    record("many trials in one study", "5 epochs that train nothing, 2 at a time, default sampler", count, lost)


def test_thirty_two_workers(tmp_path: Path) -> None:
    seconds = max(10.0, 60 * SHARE)
    taken, rate, busy = load.workers(tmp_path, 32, seconds)
    assert "is locked" not in (tmp_path / "output").read_text()
    median, high, longest = np.percentile(taken, [50, 99, 100]) * 1000
    assert SHARE < 1 or high < 500
    how = f"each would report 10 epochs a second into SQLite, {seconds:.0f} s long; from the yield to the stored epoch"
    took = f"{rate:.0f} of 320 epochs a second; median {median:.0f} ms, p99 {high:.0f} ms, longest {longest:.0f} ms"
    cpus = ", ".join(f"{part} {share:.2f}" for part, share in busy.items())
    record("32 workers of one run", how, len(taken), f"no epoch, nothing locked; {took}; CPUs busy: {cpus}")
