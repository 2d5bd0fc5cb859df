"""Who leads a study, and what of its trials stays on disk, with a real driver that drives no process."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import optuna
import pytest
from driving import ask, drive
from optuna.trial import create_trial

from search import Float, SearchSpace
from search.engine.messages import Report, SaveWeights
from search.engine.retention import Retention, drop_weights, weights_of
from search.files import locations
from search.files.atomic import write_text


@pytest.mark.parametrize(("direction", "better"), [("maximize", True), ("minimize", False)])
def test_better_knows_the_direction(direction: str, better: bool) -> None:
    driver, _ = drive(direction=direction)
    assert driver.retention.better(0.9, 0.5) is better
    assert not driver.retention.better(0.5, 0.5)


def test_of_all_weights_only_the_leaders_stay() -> None:
    """As a worker writes them: before the driver hears of the end."""
    space = SearchSpace(model="cnn", dataset="digits", epochs=1, lr=Float(0.1, 0.2), step_size=1, gamma=0.5)
    driver, _ = drive(space=space, own=False, pruner=None)

    def weights() -> list[str]:
        return sorted(path.name for path in Path(weights_of("s", 0)).parent.glob("*"))

    jobs = [ask(driver) for _ in range(4)]
    for job in jobs:
        assert job.keep is not None
        assert job.keep == SaveWeights(Path.cwd() / f"runs/s/weights/{job.number}.safetensors", "val_acc", True, None)
        write_text(Path(job.keep.path), "")
    for number, value, left in ((1, 0.5, "0 1 2 3"), (2, 0.4, "0 1 3"), (0, 0.5, "0 3"), (3, 0.9, "3")):
        assert not driver.receive(jobs[number], Report(0, {"val_acc": value, "seconds": 1.0}, 0, last=True))
        assert weights() == [f"{name}.safetensors" for name in left.split()]
    assert driver.retention.leader == (0.9, 3)
    fifth = ask(driver)
    assert fifth.keep is not None
    assert fifth.keep.best == 0.9
    # Killed in the middle of a write, and begun again:
    for name in ("4.safetensors", ".4.safetensors.123.part", "notes.txt"):
        write_text(Path(weights_of("s", 0)).with_name(name), "")
    again, _ = drive(space=space, own=False, pruner=None)
    assert again.retention.leader == (0.9, 3)
    assert weights() == ["3.safetensors", "notes.txt"]


def test_who_takes_the_lead_is_live_until_it_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a sweep of that instant would delete the winner's weights."""
    space = SearchSpace(model="cnn", dataset="digits", epochs=1, lr=Float(0.1, 0.2), step_size=1, gamma=0.5)
    driver, _ = drive(space=space, own=False, pruner=None)
    job, was_live = ask(driver), list[bool]()
    monkeypatch.setattr(driver.retention, "follow", lambda trial: was_live.append(trial.number in driver.live))
    driver.receive(job, Report(0, {"val_acc": 0.5, "seconds": 1.0}, 0, last=True))
    assert was_live == [True]
    assert not driver.live


def test_an_own_train_keeps_no_weights() -> None:
    driver, _ = drive()
    assert ask(driver).keep is None


def test_nobody_waits_for_a_buckets_sweeping_which_spares_what_runs_by_then(bucket: str) -> None:
    study = optuna.create_study(study_name="s", direction="maximize")
    study.add_trials([create_trial(value=0.5), create_trial(value=0.9)])
    retention = Retention(study, "val_acc", trained=True, weights=True, run_dir=f"{bucket}/runs")
    live: dict[int, object] = {}
    for number in range(4):
        keep, checkpoints = retention.keep(number), retention.checkpoints(number)
        assert keep is not None
        assert checkpoints is not None
        for path in (keep.path, locations.under(checkpoints, "1")):
            locations.write(path, lambda part: part.write_bytes(b""))
    slow = Event()
    retention._behind.submit(slow.wait, 60)  # a round trip
    retention.begin(study.trials, live)
    retention.sweep({3})
    live[2] = object()
    slow.set()
    retention.wait_for_sweep(60)
    assert locations.place(f"{bucket}/runs/s/weights").names() == ["1.safetensors", "2.safetensors"]
    assert locations.place(f"{bucket}/runs/s/checkpoints").names() == ["2"]


def test_only_the_spared_weights_stay() -> None:
    for number in range(12):
        write_text(Path(weights_of("a study", number)), "")
    folder = Path("runs/a study/weights")
    write_text(folder / ".10.safetensors.77.part", "")
    write_text(folder / ".11.safetensors.78.part", "")
    write_text(folder / "mine.txt", "")
    drop_weights("a study", lambda: {1, 11})
    names = {path.name for path in folder.iterdir()}
    assert names == {"1.safetensors", "11.safetensors", ".11.safetensors.78.part", "mine.txt"}


def test_where_nothing_is_kept_nothing_comes_into_being() -> None:
    drop_weights("none", set)
    assert not list(Path().iterdir())
