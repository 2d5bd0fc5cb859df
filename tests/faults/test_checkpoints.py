"""A run that was killed leaves no process, and goes on from its checkpoints."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from live import WAIT, Run, until
from optuna.trial import TrialState

from search import TrainConfig
from search.train import checkpoints, train

pytestmark = pytest.mark.whole

TRAINING = """
    from optuna.pruners import NopPruner
    from search import Float, SearchSpace

    space = SearchSpace(
        model="gated.py:net", dataset="digits", subset=200, epochs=8, batch_size=50, lr=Float(0.01, 0.1, log=True),
        step_size=3, gamma=0.5,
    )
    trials, pruner, resources = 2, NopPruner(), {resources}
"""
GATED = """
    import time
    from pathlib import Path
    import torch
    from search.train import checkpoints
    from torch import nn

    HERE, STEPS = Path(__file__).parent, 4
    checkpoints.OFTEN = 0.0  # one after each epoch

    class Gated(nn.Linear):
        "Trains no sixth epoch before there is the file `go`."
        steps = 0

        def forward(self, x):
            if torch.is_grad_enabled():
                while self.steps >= 5 * STEPS and not (HERE / "go").exists():
                    time.sleep(0.05)
                self.steps += 1
            return super().forward(x)

    def net(classes, channels):
        return nn.Sequential(nn.Flatten(), Gated(64, 32), nn.ReLU(), nn.Linear(32, classes))
"""
NO_GPU = not torch.cuda.is_available()


@pytest.mark.usefixtures("torch_threads")
def test_a_killed_run_goes_on_from_its_checkpoints_with_the_same_numbers(
    folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder(TRAINING.format(resources=dict(gpus="auto") if NO_GPU else {}))
    (path / "gated.py").write_text(textwrap.dedent(GATED))
    run = Run(path, "--sealed")
    kept = run.folder / "runs/space/checkpoints"
    try:
        until(lambda: len({path.parent for path in kept.glob("*/*.checkpoint")}) == 2, "a checkpoint of both")
        until(lambda: len([1 for trial in run.trials() if (trial.last_step or 0) >= 5]) == 2, "epochs of both")
        (temp,) = run.temp()
        run.process.kill()
        until(lambda: not run.alive(), "the end of every process")
        until(lambda: not temp.exists(), "the end of its folder")
    finally:
        run.end()
    if NO_GPU:  # with one, auto would measure it
        assert "--gpus-per-trial auto: no GPU here to share\nno GPU: training on" in run.output
    before = run.trials()
    assert {trial.state for trial in before} == {TrialState.RUNNING}
    newest = [max(int(path.name.split(".")[0]) for path in kept.glob(f"{old.number}/*.checkpoint")) for old in before]
    (kept / f"{before[0].number}/.1.part").write_text("half of one")
    (path / "go").touch()

    again = Run(run.folder, "--sealed")
    try:
        assert again.process.wait(WAIT) == 0, again.output
    finally:
        again.end()
    monkeypatch.chdir(path)
    monkeypatch.setattr(checkpoints, "OFTEN", checkpoints.OFTEN)  # which the model's file sets
    for checkpoint, new in zip(newest, again.trials(), strict=True):
        assert new.state == TrialState.COMPLETE
        assert new.user_attrs["resumed_after"] == [checkpoint]
        config = TrainConfig(**new.user_attrs["config"])
        alone = {epoch.epoch: epoch.val_acc for epoch in train(config, threads=new.user_attrs["ran_on"]["threads"])}
        assert new.intermediate_values == alone
    assert not list(kept.glob("*"))
