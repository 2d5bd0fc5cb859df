"""How fast a folder of pictures becomes arrays, beside torchvision's ImageFolder and a DataLoader.

python -m benchmarks.decode FOLDER [--side 32] [--runs 3] [--archive FILE]

FOLDER holds class folders. Ours: an empty image cache is filled with all splits, checksums and writing included.
Theirs: one pass over all batches, with a worker for each core and without workers; the same resize and crop. The sides
take turns, and the median counts. `--archive`: ours reads the same pictures from an archive, too.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder as TheirFolder
from torchvision.transforms import v2

from benchmarks import results
from search.data import cache
from search.data.folders.imagefolder import ImageFolder


def ours(path: Path, side: int) -> tuple[int, float]:
    """How many images were decoded, and in how many seconds."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_CACHE_HOME"] = home
        start = time.monotonic()
        splits = cache.load(ImageFolder(path), side, ("train", "val", "test"))
        return sum(len(split.labels) for split in splits), time.monotonic() - start


def theirs(path: Path, side: int, workers: int) -> tuple[int, float]:
    """How many images came in batches, and in how many seconds."""
    transform = v2.Compose([v2.Resize(side), v2.CenterCrop(side), v2.PILToTensor()])
    start, count = time.monotonic(), 0
    for images, _ in DataLoader(TheirFolder(path, transform), batch_size=256, num_workers=workers):
        count += len(images)
    return count, time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--archive", type=Path)
    words = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    sides: dict[str, Callable[[], tuple[int, float]]] = {
        "ours, into an empty cache": lambda: ours(words.folder, words.side),
        f"ImageFolder + DataLoader, {cores} workers": lambda: theirs(words.folder, words.side, cores),
        "ImageFolder + DataLoader, no workers": lambda: theirs(words.folder, words.side, 0),
    }
    if words.archive:
        sides["ours, from the archive"] = lambda: ours(words.archive, words.side)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    counts = dict.fromkeys(sides, 0)
    for _ in range(words.runs):
        for name, run in sides.items():
            counts[name], seconds = run()
            rates[name].append(counts[name] / seconds)
    load = f"the machine's load was {os.getloadavg()[0]:.1f} at the end"
    lines = [f"{words.side} px; images/s, median of {words.runs} runs that take turns; {load}.", ""]
    lines += ["| what | images | images/s | runs |", "|---|---|---|---|"]
    for name, found in rates.items():
        each = ", ".join(f"{rate:,.0f}" for rate in found)
        lines.append(f"| {name} | {counts[name]:,} | {median(found):,.0f} | {each} |")
    print("\n".join(lines))
    command = f"python -m benchmarks.decode {words.folder.name} --side {words.side}"
    results.write(f"Decoding {words.folder.name}", command, lines)


if __name__ == "__main__":
    main()
