"""The images of the bench: unpacked for the peer, decoded for us, and one pass over them by each side."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.sides import call, temporary
from search.data.cache import cache_root
from search.data.registry import open_source


def unpack(data_root: Path) -> Path:
    """Caltech-101's training and validation images as train/CLASS/*.jpg and val/CLASS/*.jpg, in the temp folder.

    The same split as the project's; done once, and kept for the next bench.
    """
    source = open_source("caltech101", data_root)
    home = Path(tempfile.gettempdir()) / f"search-bench-images-{source.fingerprint()[:12]}"
    if home.is_dir():
        return home
    part = home.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    _, splits = source.splits()
    where = {item.name: split for split in ("train", "val") for item in splits[split]}
    for name, data in source.read(set(where)):
        file = part / where[name] / name
        file.parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(data, bytes)
        file.write_bytes(data)
    part.rename(home)
    return home


def _seconds(code: str, folder: Path, *words: str | Path) -> float:
    """Run `code`, which writes a number into the file ``out``."""
    call(["-c", code, *words], folder)
    return float((folder / "out").read_text())


def peer_reading(images: Path, workers: int) -> float:
    """Seconds for one pass of the peer's loader over the training images, after its workers have started."""
    code = """
import sys, time
from pathlib import Path
from benchmarks.peer import make_loader
loader, _ = make_loader(Path(sys.argv[1]), "train", "alexnet", 256, int(sys.argv[2]))
if int(sys.argv[2]):  # start the workers, which stay
    for _ in loader: pass
began = time.perf_counter()
for _ in loader: pass
Path("out").write_text(str(time.perf_counter() - began))
"""
    with temporary() as folder:
        return _seconds(code, folder, images, str(workers))


def ours_reading(data_root: Path) -> float:
    """Seconds for one pass over the same images as the trainer makes it; the median of five."""
    code = """
import statistics, sys, time
from pathlib import Path
import torch
from search.train.device import resolve_runtime
from search.train.batches import load_data
place = resolve_runtime("auto")
(data,) = load_data("alexnet", "caltech101", Path(sys.argv[1]), place.device, ("train",))
seconds = []
for _ in range(6):
    began = time.perf_counter()
    for index in torch.randperm(len(data)).split(256):
        data.batch(index, place.memory_format)
    if place.device == "cuda": torch.cuda.synchronize()
    seconds.append(time.perf_counter() - began)
Path("out").write_text(str(statistics.median(seconds[1:])))  # the first pass reads the file into memory
"""
    with temporary() as folder:
        return _seconds(code, folder, data_root.resolve())


def ours_steps(data_root: Path, model: str, count: int) -> float:
    """Images a second of full fine-tuning: `count` of the trainer's own steps of 256 images, after some to warm up."""
    code = """
import sys, time
from pathlib import Path
import torch
from search.config import make_config
from search.doctor.cost import full_batches
from search.train.batches import load_splits
from search.train.device import make_repeatable, resolve_runtime
from search.train.learner import Learner
root, model, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
config = make_config(dict(model=model, dataset="caltech101", epochs=1, batch_size=256, lr=0.01, momentum=0.9,
                          weight_decay=5e-5, step_size=15, gamma=0.1))
place = resolve_runtime(config.precision)
(data,) = load_splits(config, root, place.device, "train")
learner = Learner(config, data, place)
if place.device == "cuda": make_repeatable(learner.model, place, learner.image(), print)  # as the trainer does
learner.begin(1)
batches = [batch.to(place.device) for batch in full_batches(config, len(data))]
for index in batches[:1 if place.device == "cpu" else 10]:
    learner.step(index).item()
began = time.perf_counter()
for number in range(1, count + 1):
    loss = learner.step(batches[number % len(batches)])
loss.item()
Path("out").write_text(str(256 * count / (time.perf_counter() - began)))
"""
    with temporary() as folder:
        return _seconds(code, folder, data_root.resolve(), model, str(count))


def decode(data_root: Path, model: str) -> None:
    """Have Caltech-101's images decoded for `model` and kept, if they are not yet."""
    code = """
import sys
from pathlib import Path
from search.train.batches import load_data
load_data(sys.argv[2], "caltech101", Path(sys.argv[1]), "cpu", ("train", "val"))
"""
    with temporary() as folder:
        call(["-c", code, data_root.resolve(), model], folder)


@contextmanager
def empty_cache(data_root: Path) -> Iterator[None]:
    """A cache in which the images are decoded and nothing else is; the user's own stays as it is."""
    decode(data_root, "efficientnet_lite0")
    before = os.environ.get("XDG_CACHE_HOME")
    with temporary() as folder:
        left_out = shutil.ignore_patterns("features", "lock")
        shutil.copytree(cache_root().resolve(), folder / "search", ignore=left_out, copy_function=os.symlink)
        os.environ["XDG_CACHE_HOME"] = str(folder)
        try:
            yield
        finally:
            del os.environ["XDG_CACHE_HOME"]
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before
