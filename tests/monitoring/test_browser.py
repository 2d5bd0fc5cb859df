"""A study watched while it runs, in a real browser: curves that grow, a trial stopped by hand, notes and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, browsing
from conftest import SPACES
from live import Run, until
from optuna.trial import FrozenTrial, TrialState
from served import Served, served

from search.study.attributes import BY_HAND

pytestmark = [
    pytest.mark.whole,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: this test did NOT run"),
]

SPACE = """
    import time
    from search import ASHA

    metric, pruner = "score", ASHA(min_resource=2)

    def space(trial):
        return {"x": trial.suggest_float("x", 0, 1), "number": trial.number, "epochs": 600}

    def train(config):  # the first leads and is first at every rung, where the others are stopped
        for epoch in range(600):
            time.sleep(0.3 if config["number"] else 0.2)
            yield {"score": 1 - config["number"] / 10 + epoch / 10000}
"""


@pytest.fixture
def run(write: Callable[[str, str], Path], tmp_path: Path) -> Iterator[Run]:
    write("space.py", SPACE)
    run = Run(tmp_path, "--trials", "6")
    try:
        yield run
    finally:
        run.end()


def in_state(run: Run, state: TrialState) -> list[FrozenTrial]:
    return [trial for trial in run.trials() if trial.state == state]


_POINTS = """() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => plot.data || [])
    .filter(curve => (curve.name || '').startsWith('trial #')).reduce((sum, curve) => sum + curve.y.length, 0)"""
"""How many epochs the plot of the curves shows."""


def test_a_study_is_watched_and_a_trial_stopped(run: Run, cli: Any, tmp_path: Path) -> None:
    until(lambda: in_state(run, TrialState.PRUNED), "a pruned trial")
    with served(tmp_path, "dashboard", "space", "--port", "0", "--tensorboard") as server, browsing() as page:
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(server.address("space"))
        before = until(lambda: page.evaluate(_POINTS), "the curves")
        until(lambda: page.evaluate(_POINTS) > before, "the curves to grow")

        pruned = in_state(run, TrialState.PRUNED)[0]
        page.goto(f"{server.address('space')}/trials?numbers={pruned.number}")
        page.get_by_text("Pruned", exact=True).first.wait_for()
        page.get_by_text(f"Pruned at epoch {pruned.last_step}.").wait_for()  # its note
        page.get_by_role("link", name="Its curves in TensorBoard").click()
        page.get_by_text(f"space/tensorboard/trial-{pruned.number:04d}").first.wait_for()
        page.goto(page.url.partition("#")[0] + "#text")
        page.get_by_role("link", name=f"Trial {pruned.number} in the dashboard").first.click()
        page.get_by_text(f"Pruned at epoch {pruned.last_step}.").wait_for()

        stop_by_hand(run, page, server)
        assert cli("report", "space").status == 0
        page.goto(server.address("space"))
        picture = page.locator("img[src^='/artifacts/']").first
        until(lambda: picture.evaluate("image => image.naturalWidth") > 100, "a picture")

        trains = ("run", SPACES / "digits.py", "--engine", "inline", "--trials", 1, "--epochs", 1, "--sealed")
        assert cli(*trains).status == 0
        page.goto(server.address("space").replace("studies/1", "studies/2/trials?numbers=0"))
        confusion = page.locator("img[src^='/artifacts/2/']").first
        until(lambda: confusion.evaluate("image => image.naturalWidth") > 100, "the best trial's picture")

        page.goto(server.address("TensorBoard") + "?tagFilter=score#timeseries")
        page.get_by_text("space/tensorboard/trial-0000").first.wait_for()
        page.locator("line-chart, card-view").first.wait_for()
        page.goto(server.address("TensorBoard") + "#hparams")
        page.reload()
        page.get_by_text("Trial ID").first.wait_for()
        assert not errors


def stop_by_hand(run: Run, page: Any, server: Served) -> None:
    """Fail the trial that has come furthest with the dashboard's button; the run stops it and says so."""
    trial = max(in_state(run, TrialState.RUNNING), key=lambda trial: trial.last_step or 0)
    page.goto(f"{server.address('space')}/trials?numbers={trial.number}")
    page.get_by_role("button", name="Fail Trial").click()
    until(lambda: run.trials()[trial.number].state == TrialState.FAIL, "the trial's end")
    epochs = len(run.trials()[trial.number].intermediate_values)
    until(lambda: f"trial {trial.number} FAILED: {BY_HAND}" in run.output, "the run to notice")
    assert len(run.trials()[trial.number].intermediate_values) == epochs
