"""What a trial takes of the machines that there are, and how many CPUs and GPUs this one seems to have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from search.engine.base import share
from search.engine.processes import places
from search.errors import SearchError


@pytest.mark.parametrize(
    ("nodes", "asked", "trial", "slots", "threads"),
    [
        ([(16, 0)], (None, None), (1, 0), 16, 1),
        ([(4, 0), (0, 0), (9, 0)], (2, None), (2, 0), 6, 2),  # a head without room, and an odd CPU that fits none
        ([(8, 0), (16, 2), (8, 4)], (None, None), (2, 1), 6, 2),  # CPUs alone train none
        ([(8, 1), (9, 1)], (None, 0.5), (4, 0.5), 4, 4),
        ([(10, 1)], (1, 0.2), (1, 0.2), 5, 2),  # of which floats fit four
        ([(20, 2)], (1, 0.1), (1, 0.1), 20, 1),
    ],
)
def test_a_trial_takes_its_share_of_one_node(
    nodes: list[tuple[float, float]],
    asked: tuple[float | None, float | None],
    trial: tuple[float, float],
    slots: int,
    threads: int,
) -> None:
    there = [{"CPU": cpus, "GPU": gpus} for cpus, gpus in nodes]
    assert places.plan(there, *asked) == (places.Resources(*trial), slots, threads)


@pytest.mark.parametrize("trials", range(1, 101))
def test_a_share_of_a_gpu_fits_as_often_as_it_was_made_for(trials: int) -> None:
    assert places.fits({"GPU": 1.0}, places.Resources(0, share(trials))) == trials


def test_a_trial_that_fits_on_no_node_is_refused() -> None:
    with pytest.raises(
        SearchError, match="6 CPUs and 0 GPUs, and the nodes of the cluster have 2 and 0, 4 and 0: cpus_per_trial="
    ):
        places.plan([{"CPU": 2.0}, {"CPU": 4.0}], 6, where="the nodes of the cluster have")


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "250000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),  # no trial has less than one
        ({"cpu.max": "9000000 100000"}, 8),
        ({"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, 8),
        ({"cpu.cfs_quota_us": "300000", "cpu.cfs_period_us": "100000"}, 3),
        ({"cpu.cfs_quota_us": "300000"}, 8),
        ({"cpu.max": "?"}, 8),
    ],
)
def test_the_quota_of_a_container_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cpus: int
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(places, "_QUOTAS", (str(tmp_path / "cpu.max"), str(tmp_path / "cpu.cfs_quota_us")))
    assert places.machine_cpus() == cpus
