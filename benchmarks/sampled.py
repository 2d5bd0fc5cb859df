"""Where the workers' time goes: a whole `search run`, sampled by py-spy.

python -m benchmarks.sampled --data-root data [SPACE [OPTION ...]]      make bench-profile; by default the bench's study
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

from benchmarks import sides


class NoSpy(sides.BenchError):
    """There is no py-spy here."""


RATE = "4"
"""Samples a second: 20 took a sixth of the study's speed on two cores."""
_WORKER = "serve (search/engine/worker.py"
_MARKS = {
    "evaluation": "evaluate (search/train/evaluate.py",
    "backward": "Tensor.backward (torch/_tensor.py",
    "optimizer": " (torch/optim/",
    "input": ".batch (search/train/batches.py",
    "forward": "Learner.step (search/train/learner.py",
    "between the steps": "_epoch (search/train/trainer.py",
    "waiting for the next trial": "recv (multiprocessing/connection.py",
}
"""What a worker does, by a frame of its stack; the first that is found counts."""
_REST = "getting ready"
_NOT_WORK = ("waiting for the next trial", _REST)


def shares(raw: str) -> dict[str, float]:
    """The share of the workers' samples of each kind, the largest first, of what ``py-spy record -f raw`` wrote."""
    counts: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        if _WORKER in stack:
            counts[next((kind for kind, mark in _MARKS.items() if mark in stack), _REST)] += int(count)
    return {kind: count / counts.total() for kind, count in counts.most_common()}


def working(found: dict[str, float]) -> float:
    """The share of the workers' time inside training and evaluation."""
    return sum(share for kind, share in found.items() if kind not in _NOT_WORK)


def sentence(found: dict[str, float]) -> str:
    """The shares in words."""
    parts = ", ".join(f"{kind} {share:.0%}" for kind, share in found.items() if share >= 0.005)
    return f"workers, sampled: {working(found):.0%} in training and evaluation ({parts})"


def run(space: Path, data_root: Path, *words: str) -> tuple[sides.Run, dict[str, float]]:
    """`sides.ours` with py-spy beside it, and the shares of its workers' time."""
    spy = Path(sys.executable).with_name("py-spy")
    if not spy.is_file():
        raise NoSpy(f"no {spy}: pip install py-spy")
    with sides.temporary() as folder:
        raw = folder / "raw"
        spying = ["record", "--subprocesses", "--idle", "--nonblocking", "--rate", RATE, "--format", "raw", "--output"]
        under: list[str | Path] = [spy, *spying, raw, "--"]
        done = sides.ours(space, data_root, *words, under=under)
        return done, shares(raw.read_text(errors="replace"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(os.environ.get("SEARCH_DATA_ROOT", "data"))
    parser.add_argument("--data-root", type=Path, default=root, help="the folder that holds caltech101")
    parser.add_argument("space", type=Path, nargs="?", default=sides.SPACES / "alexnet_classifier.py")
    arguments, words = parser.parse_known_args()
    try:
        done, found = run(arguments.space.resolve(), arguments.data_root, *words)
    except sides.BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(f"{len(done.trials)} trials, {len(done.epochs)} epochs, {done.seconds:.0f} s; {sentence(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
