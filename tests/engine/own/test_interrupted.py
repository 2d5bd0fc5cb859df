"""Ctrl-C closes what runs: real runs of both engines."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from live import WAIT, Run, until
from optuna.trial import TrialState

pytestmark = pytest.mark.whole

SLOW = """
    import os, time
    from pathlib import Path
    from search import Float, SearchSpace

    space, metric, trials = SearchSpace(x=Float(0, 1)), "score", 4
    here = Path(__file__).parent

    def train(config):
        try:
            yield {"score": 0.5}
            (here / f"asleep{os.getpid()}").touch()
            time.sleep(1000)
        except KeyboardInterrupt:
            (here / f"interrupted{os.getpid()}").touch()
            raise OSError("the model [b] cannot be saved")
        finally:
            time.sleep(0.5)
            (here / f"closed{os.getpid()}").touch()
"""


@pytest.mark.parametrize("engine", ["inline", "auto", "tune"])
def test_ctrl_c_closes_what_runs(folder: Callable[[str], Path], engine: str) -> None:
    run = Run(folder(SLOW), "--engine", engine)
    try:
        until(lambda: [*run.folder.glob("asleep*")], "an epoch")
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(WAIT) == 130, run.output
        asleep, interrupted, closed = (
            sorted(path.name.removeprefix(word) for path in run.folder.glob(f"{word}*"))
            for word in ("asleep", "interrupted", "closed")
        )
        assert set(asleep) <= set(interrupted) <= set(closed)
        assert {trial.state for trial in run.trials()} == {TrialState.WAITING}
        said = re.findall(r"^trial (\d): closing its train\(\): user_code: space.py:16: .*$", run.output, re.MULTILINE)
        assert len(said) == len(set(said)) == len(interrupted), run.output
        assert 'raise OSError("the model [b] cannot be saved"): OSError: the model [b] cannot be saved\n' in run.output
        assert "Traceback" not in run.output
    finally:
        run.end()
