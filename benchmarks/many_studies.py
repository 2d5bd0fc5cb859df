"""What a new study takes to learn from many: seconds until its first points are known, storage read included.

python -m benchmarks.many_studies              50 studies of 1,000 trials in one SQLite file; minutes, to write them
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import create_trial

from benchmarks import results
from search import Float, Int, SearchSpace
from search.space.file import SpaceFile
from search.study.start.warm import knowledge
from search.study.study import open_study

SPACE = SearchSpace(
    lr=Float(1e-4, 1.0, log=True),
    momentum=Float(0.0, 0.99),
    weight_decay=Float(1e-6, 1e-2, log=True),
    step_size=Int(3, 12, step=3),
    gamma=Float(0.05, 0.5),
    epochs=12,
)
REPEATS = 5


def fill(url: str, studies: int, trials: int) -> None:
    """Studies of random points, whose values fall with the distance from a learning rate."""
    random = np.random.default_rng(0)
    for number in range(studies):
        study = open_study(url, f"old{number}", _file())
        ended = []
        for _ in range(trials):
            lr = 10 ** random.uniform(-4, 0)
            config = {"lr": lr, "momentum": random.uniform(0, 0.99), "weight_decay": 10 ** random.uniform(-6, -2)}
            config |= {"step_size": int(random.integers(1, 5)) * 3, "gamma": random.uniform(0.05, 0.5), "epochs": 12}
            ended.append(create_trial(value=-abs(np.log10(lr) + 2), user_attrs={"config": config}))
        study.add_trials(ended)


def _file() -> SpaceFile:
    return SpaceFile(Path("space.py"), "space", SPACE, train=lambda config: iter(()))


def seconds(url: str) -> tuple[float, float]:
    """Of the clock and of CPU time, of one call in a study that is new."""
    study = open_study(url, f"new{time.monotonic_ns()}", _file())
    begun, used = time.perf_counter(), time.process_time()
    found = knowledge(study, _file())
    took = time.perf_counter() - begun, time.process_time() - used
    assert found.pasts
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=50)
    parser.add_argument("--trials", type=int, default=1000)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/studies.db"
        fill(url, arguments.studies, arguments.trials)
        took = [seconds(url) for _ in range(REPEATS)]
    clock, used = (statistics.median(each) for each in zip(*took, strict=True))
    lines = [
        f"{arguments.studies} studies of {arguments.trials:,} trials of five settings in one SQLite file: a new study "
        f"knows its first points after {clock:.2f} s, with {used:.2f} s of CPU time (medians of {REPEATS}; the bar is "
        "1 s).",
    ]
    print(*lines)
    results.write("Learning from many studies", results.command("many_studies"), lines)


if __name__ == "__main__":
    main()
