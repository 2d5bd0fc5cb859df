"""A split's arrays on a device, slice by slice; the CPU stands in for a GPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from gpu import DEVICES

from search.data import cache
from search.data.inputs import inputs
from search.data.registry import open_source
from search.train import batches
from search.train.batches import Activations, Data, load_data, placed, room
from search.train.device import Runtime
from search.train.learner import Learner
from search.train.trainer import _say_home


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


def test_what_other_workers_left_no_room_for_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*shape: int, **how: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "empty", full)
    values = np.zeros((7, 5), np.uint8)
    assert placed(values, "cuda", 10**9) is values


@pytest.mark.parametrize(("left", "kept"), [(10**9, 2), (40_000, 1)])
def test_the_splits_of_another_data_set_make_room(monkeypatch: pytest.MonkeyPatch, left: int, kept: int) -> None:
    """The validation split of the digits is 28,736 bytes; the training split is 57,472, of more than is left."""
    load_data.cache_clear()
    monkeypatch.setattr(batches, "room", lambda device: left)
    for split in ("val", "train"):
        load_data("cnn", "digits", Path(), "meta", (split,))
    assert load_data.cache_info().currsize == kept
    load_data.cache_clear()


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_on_the_device_is_the_hosts(device: str) -> None:
    index = torch.tensor([3, 1, 1])
    (there,), (here,) = (load_data("cnn", "digits", Path(), each, ("val",)) for each in (device, "cpu"))
    assert there.home == device
    x, y = there.batch(index.to(there.home), torch.channels_last)
    expected, labels = here.batch(index, torch.channels_last)
    assert x.device.type == device
    assert torch.allclose(x.cpu(), expected)
    assert torch.equal(y.cpu(), labels)


class Seen(torch.overrides.TorchFunctionMode):
    """Counts the copies from the device `meta`, each of which would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and args and isinstance(args[0], torch.Tensor):
            self.waits += args[0].device.type == "meta" != found.device.type
        return found


def test_batches_of_what_stays_are_sent_without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "room", lambda device: 0)
    (digits,) = cache.load(open_source("digits", Path()), inputs("cnn", open_source("digits", Path())), ("train",))
    data = Data(digits, inputs("cnn", open_source("digits", Path())), "meta")
    assert data.home == "cpu"
    with Seen() as seen:
        x, y = data.batch(torch.arange(5), torch.contiguous_format)
    assert (x.device.type, x.shape, y.device.type) == ("meta", (5, 1, 8, 8), "meta")
    kept = Activations(torch.rand(len(data), 3), data, 1, channels_last=False)
    assert kept.home == "cpu"
    with seen:
        x, y = kept.batch(torch.arange(4), torch.contiguous_format)
    assert (x.device.type, x.shape, y.device.type) == ("meta", (4, 3), "meta")
    assert seen.waits == 0


def test_a_run_is_told_that_its_images_are_not_on_the_gpu() -> None:
    said: list[str] = []
    for device, home in (("cuda", "cuda"), ("cpu", "cpu"), ("cuda", "cpu")):
        learner = SimpleNamespace(data=SimpleNamespace(home=home), runtime=Runtime(device, "fp32", 1))
        _say_home(cast(Learner, learner), said.append)
    assert said == [
        "the GPU's free memory is too small for all that is trained on, so each batch is copied from the host; "
        "fewer trials a GPU leave more of it, and a smaller image_side or subset takes less"
    ]
