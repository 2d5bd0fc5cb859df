"""The steps of the second command: how fast is it on a GPU?"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from benchmarks.gpu.kit import REPO, SPACES, Kit, lines
from benchmarks.gpu.unpacking import weights

IMAGES = 2892
"""Of Caltech-101's training split."""


@dataclass
class Load(threading.Thread):
    """The GPU's load twice a second, as nvidia-smi says it, into smi.csv."""

    kit: Kit
    seen: list[tuple[float, float, float]] = field(default_factory=list)
    """When (monotonic seconds), utilisation in percent, MiB in use."""

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        words = "utilization.gpu,memory.used,power.draw,clocks.sm"
        command = ["nvidia-smi", f"--query-gpu={words}", "--format=csv,noheader,nounits", "-lms", "500"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as said, (self.kit.out / "smi.csv").open("w") as file:
            for line in said:
                file.write(f"{time.monotonic() - self.kit.began:.1f},{line}")
                file.flush()
                parts = line.split(",")
                if parts[0].strip().isdigit() and parts[1].strip().isdigit():
                    self.seen.append((time.monotonic(), float(parts[0]), float(parts[1])))

    def since(self, begin: float) -> dict[str, float]:
        part = [(used, held) for at, used, held in self.seen if begin <= at]
        if not part:
            return {}
        mean = sum(used for used, _ in part) / len(part)
        return {"util_mean": round(mean, 1), "util_max": max(part)[0], "mib_max": max(held for _, held in part)}


_loads: list[Load] = []


@contextmanager
def sampled(kit: Kit, wanted: bool) -> Iterator[None]:
    """Within, the GPU's load is written down, if that is wanted and there is one."""
    if not wanted or kit.cpu:
        yield
        return
    try:
        load = Load(kit)
    except OSError as error:
        kit.say(f"the GPU's load is not written down: {error}")
        yield
        return
    load.start()
    _loads.append(load)
    try:
        yield
    finally:
        _loads.remove(load)
        load.process.terminate()
        load.process.wait()
        load.join()


def speeds(kit: Kit) -> None:
    """Steps and epochs of the trainer, beside what the device can do."""
    seconds = 1200 if kit.cpu else min(135, kit.left - 12)
    words = ("-m", "benchmarks.gpu.speeds", kit.data, kit.device, kit.out, seconds)
    _, said = kit.call("speeds", 150, *words, shown=30)
    found = lines(said, '{"what"')
    for line in found:
        kit.keep(line)
    wrong = [json.loads(line)["name"] for line in found if '"what": "error"' in line]
    kit.note("speeds", measured=len(found), errors=wrong)


def scaling(kit: Kit) -> None:
    """Trials an hour where 1, 4, 8, 16 and 2 share the GPU, counted from when the first of them ended."""
    lite = ("--set", "weights=DEFAULT") if not kit.cpu and weights(kit) else ()
    for name, words, epochs in (("small", (), 5), ("heads", lite, 10)):
        for count in (1, 2) if kit.cpu else (1, 4, 8, 16, 2):
            if kit.left < 40:
                kit.note("scaling", space=name, side_by_side=count, skipped="no time")
                continue
            _side_by_side(kit, name, count, 1 if kit.cpu else epochs, *words)


def _side_by_side(kit: Kit, name: str, count: int, epochs: int, *words: str) -> None:
    cpus = 1 if kit.cpu else max(len(os.sched_getaffinity(0)) // count, 1)
    total = count + 1 if kit.cpu else max(4, 3 * count)
    share, step, begin = 10_000 // count / 10_000, f"scaling-{name}-{count}", time.monotonic()
    how = (
        "--gpus-per-trial",
        share,
        "--cpus-per-trial",
        cpus,
        "--trials",
        total,
        "--epochs",
        epochs,
    )
    status, said = kit.search(step, 70, "run", SPACES / f"{name}.py", *how, "--sealed", *words, *kit.small, shown=2)
    trials = kit.trials(step)
    found: dict[str, Any] = {"status": status, "trials_an_hour": an_hour(trials, count)}
    found |= {"seconds": round(time.monotonic() - begin, 1), "note": lines(said, "side by side")}
    found["load"] = _loads[0].since(begin) if _loads else {}
    found["epoch_s"] = sorted(round(trial["epoch"].get("seconds", 0), 3) for trial in trials)[:3]
    kit.note("scaling", space=name, side_by_side=count, **found, **kit.summary(step))


def an_hour(trials: list[dict[str, Any]], count: int) -> int | None:
    """Trials an hour, of which `count` run at a time: those that ended after the first so many, None of too few."""
    whole = [trial["end"] for trial in trials if trial["state"] == "COMPLETE" and trial["end"]]
    ended = sorted(datetime.fromisoformat(end).timestamp() for end in whole)
    if len(ended) <= count or ended[-1] <= ended[count - 1]:
        return None
    return round(3600 * (len(ended) - count) / (ended[-1] - ended[count - 1]))


_UNPACK = """
import sys
from pathlib import Path
from benchmarks.image_files import unpack
print(unpack(Path(sys.argv[1])))
"""
_EPOCH = """
import json, sys
from benchmarks import peer
config = dict(lr=0.01, momentum=0.9, weight_decay=5e-5, step_size=15, gamma=0.1)
for epoch in peer.epochs(config, peer.arguments(sys.argv[1:])):
    pass
print(json.dumps({key: epoch[key] for key in ("train_seconds", "val_seconds", "train_fraction", "val_fraction")}))
"""


def peer(kit: Kit) -> None:
    """The script that people run today, on the same JPEGs: AlexNet's classifier alone, all of AlexNet, ResNet-50."""
    status, said = kit.call("split", 30, "-c", _UNPACK, kit.data, shown=1, TMPDIR=str(kit.home))
    if status:
        return kit.note("peer", status=status, said=said[-500:])
    kinds: tuple[tuple[str, str, tuple[int, ...]], ...]
    kinds = (("alexnet", "features", (4, 16)), ("alexnet", "", (4, 16)), ("resnet50", "", (16,)))
    for model, frozen, workers in kinds[:2] if kit.cpu else kinds:
        for number in (0,) if kit.cpu else workers:
            few = ("--epochs", 1, "--batches", 1, "--batch-size", 16) if kit.cpu else ("--epochs", 2)
            step = f"peer-{model}-{'classifier' if frozen else 'all'}-{number}"
            words = ("--model", model, "--frozen", frozen, "--loader-workers", number, *few)
            status, epoch = kit.call(step, 60, "-c", _EPOCH, said.splitlines()[-1], *words, shown=2)
            found: dict[str, Any] = json.loads(epoch.splitlines()[-1]) if status == 0 else {"said": epoch[-500:]}
            if status == 0:
                found["images_s"] = IMAGES * found["train_fraction"] / found["train_seconds"]
            kit.note(step, status=status, **found)
    return None


def rows(kit: Kit) -> None:
    """Two rows of the project's own bench."""
    which = () if kit.cpu else ("--gpu",)
    for row in ("start", "noop"):
        if kit.left > 45:
            words = ("-m", "benchmarks.bench", *(which or ("--quick",)), "--only", row, "--data-root", kit.data)
            status, said = kit.call(f"row-{row}", 60, *words, folder=REPO, shown=4, TMPDIR=str(kit.home))
            kit.note(f"row-{row}", status=status, said=said.strip().splitlines()[-6:])


STEPS = (speeds, scaling, peer, rows)
