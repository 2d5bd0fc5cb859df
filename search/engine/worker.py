"""The training side of a run: settings in, one message an epoch out. It knows no study and no storage."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.config import CACHE_SIZE, Epoch, TrainConfig
from search.engine.failures import reason
from search.errors import SearchError, first_line
from search.files.locations import Where
from search.space.file import Train, load_train

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker needs beside a trial's settings; plain data, so that it travels.

    `threads`: CPU threads of the worker. `own_train`: the space file whose ``train`` to call; None: the built-in.
    `cache_size`: bytes of disk for the activations of frozen layers. `patience`: seconds without a message after
    which a worker is given up; None: never. `gpus`: its share of a GPU, or GPUs, where it trains on one. `test`:
    whether each trial looks at the test split after its last epoch, which only `search confirm` asks for.
    """

    data_root: str
    device: str
    threads: int
    own_train: str | None = None
    cache_size: int = CACHE_SIZE
    patience: float | None = None
    gpus: float = 1.0
    test: bool = False


@dataclass(frozen=True)
class SaveWeights:
    """Where a trial's final model goes, if its `metric` is then as good as `best`, the best so far (None: none)."""

    path: Where
    metric: str
    maximize: bool
    best: float | None

    def wants(self, value: float) -> bool:
        """Whether a trial that ended with `value` may be the leader; of equals, the driver knows."""
        return self.best is None or (value >= self.best if self.maximize else value <= self.best)


class Worker:
    """Trains one trial after another in one process, whose data and device stay warm."""

    def __init__(self, workplace: WorkerConfig) -> None:
        self.workplace = workplace
        self._own = load_train(workplace.own_train) if workplace.own_train else None
        self._epochs: Iterator[dict[str, Any]] = iter(())
        self._total: int | None = None
        self._count = 0

    def start(
        self, settings: dict[str, Any], keep: SaveWeights | None = None, checkpoints: Where | None = None
    ) -> None:
        """Begin a trial; the one before is dropped, wherever it was.

        Of the built-in training, `keep`: what becomes of the final model; `checkpoints`: a folder for them, from which
        the trial goes on if it holds some.
        """
        self._count = 0
        total = settings.get("epochs")
        self._total = total if isinstance(total, int) else None
        self._epochs = (
            self._train(settings, keep, checkpoints) if self._own is None else self._call(self._own, settings)
        )

    def _call(self, own: Train, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
        epochs = own(settings)
        if not isinstance(epochs, Iterable):
            raise SearchError(f"train() returned a {type(epochs).__name__}; it must yield a dict an epoch")
        cost = {"cost": self._shares(self.workplace.device)}
        for measured in epochs:
            yield {"epoch": _measured(measured), **cost}
            cost = {}

    def _shares(self, device: object) -> dict[str, float]:
        """What a trial on `device` takes of GPUs and, in threads, of CPUs."""
        return {"gpus": self.workplace.gpus if device == "cuda" else 0.0, "cpus": self.workplace.threads}

    def _train(
        self, settings: dict[str, Any], keep: SaveWeights | None, checkpoints: Where | None
    ) -> Iterator[dict[str, Any]]:
        from search.train import evaluate_test, train  # late: a train() of the user's own need not wait for torch
        from search.train.device import resolve_runtime
        from search.train.weights import save

        place = self.workplace
        config = TrainConfig(**settings)
        ran_on = resolve_runtime(config.precision, place.device, place.threads).describe()
        root = Path(place.data_root)
        notes: list[str] = []
        looked: dict[str, Any] = {}

        def done(epoch: Epoch, model: nn.Module) -> None:
            if keep is not None and keep.wants(getattr(epoch, keep.metric)):
                try:
                    save(model, config, keep.path)
                except Exception as error:  # a full disk, for one: the trial has its numbers all the same
                    notes.append(f"its weights are not kept: {first_line(error)}")
            if place.test:
                test_acc, images = evaluate_test(model, config, root, place.device, place.cache_size)
                looked["test"] = {"test_acc": test_acc, "images": images}

        where = (root, place.device, place.threads, place.cache_size)
        for epoch in train(config, *where, say=notes.append, done=done, checkpoints=checkpoints):
            message = {"epoch": epoch.model_dump(), "step": epoch.epoch, "ran_on": ran_on, **looked}
            message |= {"notes": notes.copy(), "rates": epoch.rates}
            if epoch.footprint is not None:
                message["cost"] = epoch.footprint | self._shares(ran_on["device"])
            yield message if epoch.right is None else message | {"right": epoch.right, "answers": epoch.answers}
            notes.clear()

    def step(self) -> dict[str, Any]:
        """Train one epoch. Returns ``{"epoch", "step", "last"}``, ``{"end"}`` or ``{"error"}``; raises no Exception."""
        start = time.perf_counter()
        try:
            message = next(self._epochs, None)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit of the user's own code would end the run
            self._epochs = iter(())
            return {"error": reason(error)}
        if message is None:
            return {"end": True}
        self._count = message.setdefault("step", self._count + 1)
        message["epoch"].setdefault("seconds", time.perf_counter() - start)
        return {**message, "last": self._count == self._total}


def serve(connection: Connection, workplace: WorkerConfig, environment: dict[str, str]) -> None:
    """Train for whoever is at the other end: first the process's number, then answers.

    The number of an attempt, settings and `Keep` ask for a trial's first message, None for its next. Each message
    carries the attempt that it is about.
    """
    connection.send(os.getpid())
    os.environ.update(environment)
    try:
        worker = Worker(workplace)
    except Exception as error:  # the space file was edited while the run went on
        attempt, *_ = connection.recv()
        connection.send({"error": reason(error), "attempt": attempt})
        return
    attempt = None
    while True:
        trial = connection.recv()
        if trial is not None:
            attempt, *what = trial
            worker.start(*what)
        connection.send({**worker.step(), "attempt": attempt})


def _measured(epoch: Any) -> dict[str, Any]:
    """What a train() of the user's own yielded, as the record takes it. Raises SearchError."""
    if not isinstance(epoch, Mapping):
        raise SearchError(f"train() yielded a {type(epoch).__name__}; it must yield a dict such as {{'score': 0.5}}")
    plain: dict[str, Any] = {}
    for name, value in epoch.items():
        try:
            plain[name] = _plain(value)
            json.dumps({name: plain[name]})
            float(plain[name] if isinstance(plain[name], int) else 0)
        except Exception as error:  # of any kind, from a class of the user's own
            said = f"train() yielded {name!r} as a {type(value).__name__} that the record cannot take"
            raise SearchError(f"{said} ({first_line(error)}); give it a number or a text") from None
        if not isinstance(name, str) or (name == "seconds" and not _duration(plain[name])):
            raise SearchError(f"train() yielded {name!r}: names are text, and `seconds` is a number, not below 0")
    return plain


def _duration(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < math.inf


def _plain(value: Any) -> Any:
    """Numbers of NumPy and torch as Python's own, so that they go into JSON."""
    if isinstance(value, Real) and not isinstance(value, (bool, int)):
        return float(value)
    return value.item() if hasattr(value, "item") else value
