"""Trials that train nothing: what is left is what a trial costs. Each epoch's time goes into the file $BENCH_STAMPS.

With ``--set pause=SECONDS`` an epoch sleeps so long, as a GPU would train beside the driver.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.pruners import NopPruner

from search import Float, SearchSpace

space = SearchSpace(
    lr=Float(1e-4, 1e-1, log=True),
    momentum=Float(0.80, 0.99),
    weight_decay=Float(1e-6, 1e-2, log=True),
    epochs=10,
    pause=0.0,
)
pruner = NopPruner()
trials = 64


def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    for _ in range(config["epochs"]):
        began = time.time()
        time.sleep(config["pause"])
        with Path(os.environ["BENCH_STAMPS"]).open("a") as file:
            file.write(f"{began} {time.time()}\n")
        yield {"val_acc": 0.5}
