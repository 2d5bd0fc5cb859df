"""The part of a machine that each trial gets, and how many trials fit."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from search.engine.base import UNITS
from search.errors import SearchError, option
from search.format import plural


@dataclass(frozen=True)
class Resources:
    """The share of one trial: CPUs (whole or a fraction) and GPUs (a fraction shares one)."""

    cpus: float
    gpus: float


def plan(
    there: Sequence[Mapping[str, float]],
    cpus: float | None = None,
    gpus: float | None = None,
    where: str = "this machine has",
) -> tuple[Resources, int, int]:
    """The share of one trial, the number of trials at a time, and the CPU threads of each.

    `there`: each node's CPU and GPU. By default a trial takes one GPU and its share of its node's CPUs. Without a GPU
    it takes one CPU, whatever `gpus` says. `where`: how a refusal begins what is there. Raises SearchError if not even
    one fits.
    """
    with_gpus = [node for node in there if node.get("GPU")]
    gpus = 0.0 if not with_gpus else 1.0 if gpus is None else gpus
    if cpus is None:
        cpus = max(1.0, min(node.get("CPU", 0.0) * gpus // node["GPU"] for node in with_gpus)) if gpus else 1.0
    trial = Resources(cpus, gpus)
    used = [(node, fits(node, trial)) for node in there if fits(node, trial)]
    if not used:
        has = [f"{node.get('CPU', 0.0):g} and {node.get('GPU', 0.0):g}" for node in there]
        raise SearchError(
            f"a trial asks for {cpus:g} CPUs and {gpus:g} GPUs, and {where} {', '.join(has)}: "
            f"{option('cpus_per_trial')}, {option('gpus_per_trial')}"
        )
    threads = min(int(node.get("CPU", 0.0) // places) for node, places in used)
    return trial, sum(places for _, places in used), max(1, threads)


def without_gpu(cores: int) -> str:
    """What a run says where it trains on so many CPU cores."""
    return f"no GPU: training on {plural(cores, 'CPU core')}"


def side_by_side(where: str, trials: int, threads: int) -> str:
    """What a run says of its places: so many trials at a time, each with so many threads."""
    return f"{where}, {plural(trials, 'trial')} side by side, CPU threads of each: {threads}"


def fits(node: Mapping[str, float], trial: Resources) -> int:
    """How many trials fit on a node with such resources."""
    asked = [(node.get("CPU", 0.0), trial.cpus), (node.get("GPU", 0.0), trial.gpus)]
    return min((_fits(has, wants) for has, wants in asked if wants), default=0)


def _fits(has: float, wants: float) -> int:
    """How many trials fit into `has` units if each takes `wants`. No trial gets parts of two GPUs."""
    wanted = max(1, round(wants * UNITS))
    return int(has) * (UNITS // wanted) if wanted < UNITS else round(has * UNITS) // wanted


_QUOTAS = ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
"""Of a container, by version 2 and 1 of cgroups."""
_ACCELERATORS = ("nvidia[0-9]*", "dxg", "kfd", "accel*", "davinci*", "habana*", "neuron*")
"""Devices below /dev that Ray may hand out: of NVIDIA, of Windows' host, of AMD, and of others."""


def machine_cpus() -> int:
    """The CPUs that this process may use, where a container has a quota no more than that."""
    there = len(os.sched_getaffinity(0))
    for file in map(Path, _QUOTAS):
        with suppress(OSError, ValueError):
            quota, *rest = file.read_text().split()
            period = float(rest[0] if rest else file.with_name("cpu.cfs_period_us").read_text())
            if quota != "max" and float(quota) > 0:
                there = min(there, max(1, math.floor(float(quota) / period)))
    return there


def accelerators() -> bool:
    """Whether this machine may have a GPU, as far as its devices tell."""
    return any(any(Path("/dev").glob(name)) for name in _ACCELERATORS)
