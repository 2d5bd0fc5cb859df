"""How much memory a process takes of its device, and how much of it trials can have."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import torch

GIB = 2**30


def taken_by_others() -> int:
    """Bytes of the first visible GPU that are in use; asked before this process touches it, those of other processes.

    NVIDIA's own tool counts them without a CUDA context, which would itself take half a GiB. 0 where it has no answer.
    """
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] or "0"
    command = ["nvidia-smi", f"--id={first}", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        return int(said.stdout) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def held_here(device: str) -> int | None:
    """Bytes of tensors that this process holds on the GPU; None if it has no CUDA context."""
    return torch.cuda.memory_reserved() if device == "cuda" and torch.cuda.is_initialized() else None


def peak(device: str, taken: int = 0, parent: int | None = None) -> tuple[int, int]:
    """The most bytes that this process held at a time, CUDA's context included, and those that trials can have.

    On a GPU, `taken` is what others held before this process came. `parent` is what held_here() says of a process among
    them that ends before the trials begin: they can have its tensors and its context, which is as large as ours.
    """
    if device != "cuda":
        return _status("VmHWM"), available() + _status("VmRSS")
    free, total = torch.cuda.mem_get_info()
    context = max(total - free - torch.cuda.memory_reserved() - taken, 0)
    returned = 0 if parent is None else parent + context
    return torch.cuda.max_memory_reserved() + context, min(total - taken + returned, total)


def _status(name: str) -> int:
    """A line of /proc/self/status, in bytes. getrusage would count what the parent held when it forked."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def available() -> int:
    """Bytes that this machine, or the control group that we are in, can still give."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    try:
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        file = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        free = min(free, limit - used + int(file["inactive_file"]))
    except (OSError, ValueError, KeyError):  # no limit ("max"), or no control groups
        pass
    return free
