"""RESULTS.md: one section a bench, with the date, the machine, the versions and the command that measured it."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
_TITLE = "# Measured\n\nEach section is written by the command it names; the bench's modules say how it measures.\n"


def machine() -> str:
    """Processor, cores, memory and GPU of this machine, in a line."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    name = re.search(r"model name\s*: (.*)", info)
    flags = re.search(r"flags\s*: (.*)", info)
    extras = [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16") if flags and flag in flags[1].split()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    words = [name[1] if name else platform.processor() or platform.machine()]
    words += [f"({', '.join(extras)})"] if extras else []
    return f"{' '.join(words)}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, {_gpu()}"


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def versions() -> str:
    """Python and the libraries that the figures depend on."""
    found = [f"Python {platform.python_version()}"]
    for name in ("torch", "torchvision", "ray", "optuna", "numpy", "pillow"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def command(bench: str) -> str:
    """What called the module `bench` of this package, with its words."""
    return shlex.join(["python", "-m", f"benchmarks.{bench}", *sys.argv[1:]])


def write(section: str, command: str, lines: Sequence[str], file: Path = RESULTS) -> None:
    """Put `lines` under the heading `section` of `file`, in place of what stood there; other sections stay."""
    text = file.read_text(encoding="utf-8") if file.is_file() else _TITLE
    head, *parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    now = datetime.now(UTC).strftime("%Y-%m-%d")
    body = "\n".join([f"## {section}", "", f"{now}, `{command}`, on {machine()}; {versions()}.", "", *lines]) + "\n"
    known = {part.partition("\n")[0]: part.rstrip("\n") + "\n" for part in parts}
    known[f"## {section}"] = body
    file.write_text("\n".join([head.rstrip("\n") + "\n", *known.values()]), encoding="utf-8")
