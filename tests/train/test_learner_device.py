"""No step of the trainer waits for its device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from train.test_trainer import config

from search.config import TrainConfig
from search.data import cache
from search.data.digits import Digits
from search.models import ImageSpec
from search.train import learner as learner_module
from search.train.batches import Data
from search.train.device import Runtime
from search.train.learner import Learner
from search.train.optimizers import parameter_groups

pytestmark = pytest.mark.usefixtures("torch_threads")


class Copies(TorchDispatchMode):
    """Counts the copies from the CPU to another device that wait for it."""

    waiting = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        if func is torch.ops.aten._to_copy.default and args[0].device.type == "cpu" != made.device.type:
            self.waiting += not kwargs.get("non_blocking")
        return made


class Elsewhere(Runtime):
    """A device without autocast."""

    def autocast(self) -> AbstractContextManager[object]:
        return nullcontext()


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"grad_clip": 1.0, "schedule": "one_cycle", "label_smoothing": 0.1},
        {"ema": 0.9},
        {"augment": "flip"},
        {"augment": "crop_flip"},
        {"mixup": 0.2, "cutmix": 1.0},
        {"gradual_unfreeze": True},
    ],
    ids=str,
)
def test_no_step_waits_for_its_device(monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]) -> None:
    """On torch's meta device, which has no values: to read one there, as ``item()`` or an ``if`` does, is an error."""

    def plain(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameter_groups(model, config), lr=config.lr, momentum=config.momentum)

    monkeypatch.setattr(learner_module, "make_optimizer", plain)  # fused ones refuse this device
    made = config(**changed)
    (images,) = cache.load(Digits(Path()), None, ["train"])
    train = Data(images, ImageSpec((8, 8), (8, 8), (0.5,), (0.5,), channels="L"), "meta")
    one = Learner(made, train, Elsewhere("meta", "fp32", 1))
    one.begin(2)
    order = torch.arange(64, device="meta")
    with Copies() as copies:  # type: ignore[no-untyped-call] # torch's own
        losses = [one.step(index) for index in order.split(32)]
    assert copies.waiting == 0
    assert {loss.device.type for loss in losses} == {"meta"}
    with pytest.raises(RuntimeError, match="meta"):
        losses[0].item()
