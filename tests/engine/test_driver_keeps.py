"""What the driver lets run on: a trial of the audit, a trial with a checkpoint."""

from __future__ import annotations

from pathlib import Path

from driving import ask, drive, epoch, stored
from optuna.trial import TrialState

from search import Float, SearchSpace
from search.engine.messages import Report
from search.files.atomic import write_text


def test_a_trial_of_the_audit_runs_to_its_end_and_says_where_it_would_have_ended() -> None:
    driver, _ = drive(audit=1.0)
    good, poor = ask(driver), ask(driver)
    driver.receive(good, epoch(0.9))
    assert driver.receive(poor, epoch(0.1))
    assert stored(driver.study, 1).user_attrs["audited"] == 1
    driver.receive(good, epoch(0.9))
    assert driver.receive(poor, epoch(0.2))  # a rung, too
    assert not driver.receive(poor, epoch(0.3, last=True))
    done = stored(driver.study, 1)
    assert (done.state, done.value, done.user_attrs["audited"]) == (TrialState.COMPLETE, 0.3, 1)


def test_a_resumed_trial_of_the_audit_is_not_stopped() -> None:
    driver, _ = drive(audit=1.0)
    good, poor = ask(driver), ask(driver)
    driver.receive(good, epoch(0.9))
    assert driver.receive(poor, epoch(0.1))

    driver, _ = drive()  # without --audit
    good, poor = ask(driver), ask(driver)
    for score in (0.9, 0.9):
        driver.receive(good, epoch(score))
    assert driver.receive(poor, epoch(0.1))
    assert driver.receive(poor, epoch(0.2))
    assert stored(driver.study, 1).user_attrs["audited"] == 1


def test_a_trial_that_goes_on_from_a_checkpoint_keeps_its_curve_and_says_so() -> None:
    space = SearchSpace(model="cnn", dataset="digits", epochs=6, lr=Float(0.1, 0.2), step_size=1, gamma=0.5)

    def said(step: int, val_acc: float) -> Report:
        return Report(0, {"val_acc": val_acc, "seconds": 2.0}, step, last=step == 6)

    driver, _ = drive(space=space, own=False, pruner=None)
    job = ask(driver)
    for step in (1, 2, 3):
        driver.receive(job, said(step, step / 10))
    assert job.checkpoints is not None
    write_text(Path(job.checkpoints) / "000002.checkpoint", "")

    driver, recorder = drive(space=space, own=False, pruner=None)
    job = ask(driver)
    assert Path(str(job.checkpoints)).is_dir()  # of a trial that has not ended
    for step in (3, 4, 5, 6):
        driver.receive(job, said(step, step / 10))
    done = stored(driver.study, 0)
    assert (done.state, done.value) == (TrialState.COMPLETE, 0.6)
    assert done.intermediate_values == {step: step / 10 for step in range(1, 7)}
    assert done.user_attrs["resumed_after"] == [2]
    assert done.user_attrs["epoch"]["machine_seconds"] == 7 * 2.0
    assert not Path(str(job.checkpoints)).exists()
    driver.catch_up()
    assert recorder.ends == [(0, TrialState.COMPLETE, "")]
