"""What the driver and a worker send each other: an order for each trial, and the messages about it.

They cross processes by pickle. Each message carries the `attempt` of its order, so that a late one of an attempt that
was given up is not taken for another's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle

from search.config import CACHE_SIZE
from search.files.locations import Where


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker needs beside a trial's settings; plain data, so that it travels."""

    data_root: str
    device: str
    """`cpu`, `cuda` or, before the engine knows it, `auto`."""
    threads: int
    """CPU threads of the worker."""
    own_train: str | None = None
    """The space file whose train() to call. None: the built-in training."""
    cache_size: int = CACHE_SIZE
    """Bytes of disk for the activations of frozen layers."""
    patience: float | None = None
    """Seconds without a message after which a worker is given up. None: never."""
    gpus: float = 1.0
    """The worker's share of a GPU, or its number of GPUs, where it trains on one."""
    ranks: int = 1
    """The processes that train a trial together, each on a GPU."""
    rank: int = 0
    """The worker's place among these."""
    meeting: str = ""
    """The file in which they meet."""
    test: bool = False
    """Evaluate each trial on the test split after its last epoch, which only `search confirm` asks for."""


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


@dataclass(frozen=True)
class Order:
    """A trial to train."""

    attempt: int
    """Counts the orders of a run, from 1."""
    settings: dict[str, Any]
    keep: SaveWeights | None = None
    """When the weights are kept, and where. None: never."""
    checkpoints: Where | None = None
    """The folder for checkpoints; training goes on from those in it. None: a train() of the space file."""
    output: Path | None = None
    """The file for what a train() of the space file prints, where nobody would see it. None: the built-in training."""
    number: int = 0
    """The trial's, for messages."""
    costs: tuple[str, ...] = ()
    """What of the model to measure before it trains, by the names of `config.COSTS`."""

    def packed(self) -> bytes:
        """The order for a process that has loaded the space file, whose classes the settings may be made of."""
        packed: bytes = cloudpickle.dumps(self)
        return packed


@dataclass(frozen=True)
class Drop:
    """Nobody wants more of the trial: its training is to be closed, which answers Closed."""

    attempt: int


@dataclass(frozen=True)
class Closed:
    """The training of a trial is closed."""

    attempt: int
    raised: str = ""
    """What its code raised meanwhile."""
    stuck: bool = False
    """It yielded again, and stays in the process, which shall not serve another trial."""


@dataclass(frozen=True)
class Report:
    """One epoch is trained."""

    attempt: int
    epoch: dict[str, Any]
    """What it measured: the metric, `seconds`, and whatever else the training yields."""
    step: int
    """The epoch's number, from 1."""
    last: bool
    """The built-in training has trained all its epochs. False of a train() of the space file."""
    notes: list[str] = field(default_factory=list)
    """Lines for the user."""
    rates: dict[str, float] = field(default_factory=dict)
    """The learning rate of each layer group, if there are several."""
    cost: dict[str, Any] | None = None
    """In the first epoch: what the model takes (`search.train.footprint`), and its shares of `gpus` and `cpus`."""
    ran_on: dict[str, Any] | None = None
    """Device, precision, threads and versions. None: a train() of the space file."""
    data: str | None = None
    """The fingerprint of the data set. None: a train() of the space file."""
    weights: str | None = None
    """What tells the weights that it began with from others. None: it began without, or a train() of the space file."""
    code: str | None = None
    """What tells the code of a train() of the space file from other code (`search.space.code`)."""
    place: str = ""
    """Of a train() of the space file: the file and line of its yield, before a message."""
    val_images: int | None = None
    """In the last epoch: how many validation images it was measured on."""
    predictions: bytes | None = None
    """In the last epoch: what is predicted for each of them, as `search.predictions` packs it."""
    test: dict[str, Any] | None = None
    """In the last epoch of a confirmation's trial: `test_acc`, a fraction of so many test `images`."""


@dataclass(frozen=True)
class Sized:
    """What the order's model takes, before it trains: of each of the order's `costs` so much."""

    attempt: int
    size: dict[str, float]


@dataclass(frozen=True)
class Ended:
    """The training ended by itself."""

    attempt: int


@dataclass(frozen=True)
class Pruned:
    """The training raised optuna.TrialPruned, with this reason."""

    attempt: int
    reason: str


@dataclass(frozen=True)
class Failed:
    """The training raised; `reason` begins with one of `search.engine.failures.CLASSES`."""

    attempt: int
    reason: str
    broken: bool = False
    """The process can use its GPU no more, and shall not serve another trial."""
    missing: bool = False
    """The space file is not there; on a node of a cluster, that is the node's failure."""


@dataclass(frozen=True)
class Lost:
    """The training process died."""

    attempt: int
    how: str = ""
    """As `SIGKILL`, `exit status 1` or `a missing space file`; empty where nobody knows."""
    blamed: bool = True
    """It counts as an attempt of the trial, which may be why the process died."""


@dataclass(frozen=True)
class Silent:
    """The training process sent nothing for so many seconds, and was given up."""

    attempt: int
    seconds: float


Message = Report | Sized | Ended | Pruned | Failed | Lost | Silent
