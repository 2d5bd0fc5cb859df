"""What a trial is said to take, against what torch and the clock say; and that to measure it changes nothing."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from search.config import TrainConfig
from search.models import build
from search.train import footprint as module
from search.train import train
from search.train.device import Runtime
from search.train.footprint import footprint, forget_peak

CONFIG = TrainConfig(
    model="cnn", dataset="digits", epochs=2, batch_size=64, lr=0.05, step_size=1, gamma=0.5, precision="fp32"
)
FP32, BF16 = Runtime("cpu", "fp32", 1), Runtime("cpu", "bf16", 1)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_latencies", {})


def test_parameters_and_bytes_are_counted() -> None:
    net = build("cnn", 10, 1)
    sizes = {name: value.numel() for name, value in net.named_parameters()}
    found = footprint(net, CONFIG.model_copy(update={"frozen": ("0", "1")}), FP32, torch.zeros(1, 1, 8, 8))
    assert found["parameters"] == sum(sizes.values()) == 320 + 18496 + 10250
    assert found["trainable"] == 10250
    assert found["megabytes"] == 4 * 29066 / 1e6
    assert "peak_memory" not in found  # of a process that trains one trial after another, a CPU cannot tell
    norm = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 2))
    found = footprint(norm, CONFIG, FP32, torch.zeros(1, 1, 8, 8))
    assert (found["parameters"], found["megabytes"]) == (258, (258 * 4 + 128 * 4 + 8) / 1e6)  # its statistics, too


class Slow(nn.Module):
    """Waits in each pass, and draws from the generator, as no model should in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.passes = nn.Linear(64, 2), 0

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        self.passes += 1
        torch.rand(1)
        time.sleep(0.02)
        logits: Tensor = self.head(x.flatten(1))
        return logits


def test_latency_is_the_clocks_and_measured_once_a_process() -> None:
    net, image = Slow(), torch.zeros(1, 1, 8, 8)
    before = torch.get_rng_state()
    first = footprint(net, CONFIG, FP32, image)["latency_ms"]
    assert first is not None
    assert 0 < first < 20  # of one thread it is the core's time, in which waiting for others does not count
    assert 4 <= net.passes <= 1 + module.MOST_PASSES
    assert torch.equal(torch.get_rng_state(), before)
    passes = net.passes
    assert footprint(net, CONFIG.model_copy(update={"lr": 1.0}), FP32, image)["latency_ms"] == first
    assert net.passes == passes
    footprint(net, CONFIG, BF16, image)
    assert net.passes > passes  # another precision
    two = footprint(Slow(), CONFIG, Runtime("cpu", "fp32", 2), image)["latency_ms"]
    assert two is not None
    assert two >= 20


def test_what_earlier_trials_freed_is_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, partial(done.append, name))
    forget_peak(Runtime("cpu", "fp32", 1))
    assert done == []
    forget_peak(Runtime("cuda", "fp32", 1))
    assert done == ["empty_cache", "reset_peak_memory_stats"]


def test_frozen_layers_are_frozen_again_after_it() -> None:
    net = build("cnn", 10, 1)
    net[0].requires_grad_(False)  # type: ignore[index] # a Sequential
    footprint(net, CONFIG, BF16, torch.zeros(1, 1, 8, 8))
    assert [value.requires_grad for value in net.parameters()] == [False] * 2 + [True] * 4


def test_a_model_that_takes_no_single_image_has_no_latency() -> None:
    class Pairs(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.view(-1, 2, 64)[:, 0])

    found = footprint(Pairs(64, 2), CONFIG, FP32, torch.zeros(1, 1, 8, 8))
    assert (found["latency_ms"], found["parameters"]) == (None, 130)


@pytest.mark.parametrize("changed", [{}, {"frozen": ("0",)}, {"ema": 0.9}, {"gradual_unfreeze": True}])
def test_it_comes_with_the_first_epoch_and_changes_no_number(
    changed: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.model_copy(update=changed)
    first, last = train(config, tmp_path, "cpu", 1)
    assert first.footprint is not None
    assert first.footprint["latency_ms"] is not None
    assert (last.footprint is not None) == config.gradual_unfreeze
    assert "footprint" not in first.model_dump()
    monkeypatch.setattr("search.train.trainer.footprint", lambda *what: None)
    plain = [epoch.model_dump(exclude={"seconds"}) for epoch in train(config, tmp_path, "cpu", 1)]
    assert plain == [epoch.model_dump(exclude={"seconds"}) for epoch in (first, last)]
