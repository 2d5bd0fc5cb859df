"""Who leads a study, and what of its trials stays on disk, with a real driver that drives no process."""

from __future__ import annotations

from pathlib import Path

import pytest
from driving import ask, drive

from search import Float, SearchSpace, kept
from search.engine.worker import Keep
from search.files import write_text


@pytest.mark.parametrize(("direction", "better"), [("maximize", True), ("minimize", False)])
def test_better_knows_the_direction(direction: str, better: bool) -> None:
    driver, _ = drive(direction=direction)
    assert driver.keeping.better(0.9, 0.5) is better
    assert not driver.keeping.better(0.5, 0.5)


def test_of_all_weights_only_the_leaders_stay() -> None:
    """As a worker writes them: before the driver hears of the end."""
    space = SearchSpace(model="cnn", dataset="digits", epochs=1, lr=Float(0.1, 0.2), step_size=1, gamma=0.5)
    driver, _ = drive(space=space, own=False, pruner=None)

    def weights() -> list[str]:
        return sorted(path.name for path in kept.place("s", 0).parent.glob("*"))

    jobs = [ask(driver) for _ in range(4)]
    for job in jobs:
        assert job.keep is not None
        assert job.keep == Keep(str(Path.cwd() / f"runs/s/weights/{job.number}.safetensors"), "val_acc", True, None)
        write_text(Path(job.keep.path), "")
    for number, value, left in ((1, 0.5, "0 1 2 3"), (2, 0.4, "0 1 3"), (0, 0.5, "0 3"), (3, 0.9, "3")):
        assert not driver.receive(jobs[number], {"epoch": {"val_acc": value, "seconds": 1.0}, "last": True})
        assert weights() == [f"{name}.safetensors" for name in left.split()]
    assert driver.keeping.leader == (0.9, 3)
    fifth = ask(driver)
    assert fifth.keep is not None
    assert fifth.keep.best == 0.9
    # Killed in the middle of a write, and begun again:
    for name in ("4.safetensors", ".4.safetensors.123.part", "notes.txt"):
        write_text(kept.place("s", 0).with_name(name), "")
    again, _ = drive(space=space, own=False, pruner=None)
    assert again.keeping.leader == (0.9, 3)
    assert weights() == ["3.safetensors", "notes.txt"]


def test_an_own_train_keeps_no_weights() -> None:
    driver, _ = drive()
    assert ask(driver).keep is None
