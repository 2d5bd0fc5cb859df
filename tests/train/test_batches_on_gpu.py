"""A split's arrays on a device, slice by slice; the CPU stands in for a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from search.train import batches
from search.train.batches import placed, room


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("size", [1, 30, 10**9])
def test_all_slices_arrive(monkeypatch: pytest.MonkeyPatch, kind: type, size: int) -> None:
    values = np.arange(7 * 5, dtype=np.uint8).reshape(7, 5)
    monkeypatch.setattr(batches, "SLICE", size)
    there = placed(kind(values), "cpu", 35)
    assert isinstance(there, torch.Tensor)
    assert there.dtype == torch.uint8
    assert np.array_equal(there.numpy(), values)
    assert not np.shares_memory(there.numpy(), values)


def test_what_does_not_fit_stays_where_it_is() -> None:
    values = np.zeros((7, 5), np.uint8)
    assert placed(values, "cpu", 34) is values


def test_nothing_at_all() -> None:
    assert placed(np.zeros((0, 5), np.uint8), "cpu", 10).shape == (0, 5)


def test_half_of_a_gpus_free_memory_is_for_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (60, 100))
    assert room("cuda") == 30
