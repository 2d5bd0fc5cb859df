"""What driver and worker send each other: it crosses processes, and says which attempt it is about."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from search.engine.messages import (
    Closed,
    Drop,
    Ended,
    Failed,
    Lost,
    Message,
    Order,
    Pruned,
    Report,
    SaveWeights,
    Silent,
    Sized,
)

REPORT = Report(3, {"val_acc": 0.5}, 1, last=True, val_images=1, test={"test_acc": 0.5, "images": 2})
ALL = [
    *(REPORT, Ended(3), Failed(3, "user_code: no"), Lost(3), Silent(3, 9.0)),
    *(Pruned(3, "no"), Drop(3), Closed(3, "no"), Sized(3, {"mb": 1.0})),
    Order(3, {"lr": 0.1}, SaveWeights(Path("w"), "val_acc", maximize=True, best=None), "s3://bucket/checkpoints"),
]


@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_it_crosses_a_process_and_carries_its_attempt(message: Any) -> None:
    crossed = pickle.loads(pickle.dumps(message))  # noqa: S301 - our own
    assert crossed == message
    assert crossed.attempt == 3
    assert replace(crossed, attempt=4) != message


def test_every_message_is_tried_above() -> None:
    assert {type(message) for message in ALL} == {*get_args(Message), Order, Drop, Closed}


@pytest.mark.parametrize(
    ("best", "maximize", "wanted"),
    [(None, True, True), (0.5, True, True), (0.6, True, False), (0.4, False, False), (0.6, False, True)],
)
def test_weights_are_wanted_of_a_trial_that_may_lead(best: float | None, maximize: bool, wanted: bool) -> None:
    assert SaveWeights(Path("w"), "val_acc", maximize, best).wants(0.5) == wanted
