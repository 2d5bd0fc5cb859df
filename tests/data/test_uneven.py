"""Weights and orders for classes of uneven size."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from cases import case, config
from torch.nn import functional as F

from search.data.uneven import BETA, SAMPLERS, class_weights
from search.doctor import images
from search.train import train
from search.train.learner import focal

LABELS = torch.tensor([0] * 2000 + [1] * 100 + [3] * 4)


def test_weights_are_those_of_the_paper_with_a_mean_of_one_over_the_images() -> None:
    assert class_weights("none", LABELS, 4) is None
    balanced, effective = (class_weights(how, LABELS, 4) for how in ("balanced", "effective"))
    assert balanced is not None
    assert effective is not None
    for weights in (balanced, effective):
        assert weights[LABELS].mean().item() == pytest.approx(1)
        assert weights[2] == 0
    assert (balanced[1] / balanced[0]).item() == pytest.approx(20)
    number = [sum(BETA**power for power in range(count)) for count in (2000, 100, 4)]  # equation 1, as a sum
    assert (effective[1] / effective[0]).item() == pytest.approx(number[0] / number[1], rel=1e-4)
    assert (effective[3] / effective[0]).item() == pytest.approx(number[0] / number[2], rel=1e-4)


def test_orders() -> None:
    generator = torch.Generator().manual_seed(0)
    assert sorted(SAMPLERS["shuffled"](LABELS, 4, generator).tolist()) == list(range(len(LABELS)))
    drawn = LABELS[SAMPLERS["balanced"](LABELS, 4, generator)]
    assert len(drawn) == len(LABELS)
    share = torch.bincount(drawn, minlength=4) / len(LABELS)
    assert share.tolist() == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3], abs=0.04)
    again = SAMPLERS["balanced"](LABELS, 4, torch.Generator().manual_seed(1))
    assert torch.equal(again, SAMPLERS["balanced"](LABELS, 4, torch.Generator().manual_seed(1)))


def test_the_focal_loss_by_hand_and_without_gamma_torchs() -> None:
    torch.manual_seed(0)
    logits, y, w = torch.randn(8, 5), torch.randint(5, (8,)), torch.rand(5)
    p = logits.softmax(1)[torch.arange(8), y]
    assert focal(logits, y, 2.0).item() == pytest.approx((-((1 - p) ** 2) * p.log()).mean().item(), rel=1e-5)
    weighted = -w[y] * (1 - p) ** 2 * p.log()
    assert focal(logits, y, 2.0, 0.0, w).item() == pytest.approx(weighted.mean().item(), rel=1e-5)
    for smoothing in (0.0, 0.2):
        expected = F.cross_entropy(logits, y, w, label_smoothing=smoothing, reduction="none").mean()
        assert focal(logits, y, 0.0, smoothing, w).item() == pytest.approx(expected.item(), rel=1e-5)
    mixed = torch.rand(8, 5).softmax(1)
    assert focal(logits, mixed, 0.0).item() == pytest.approx(F.cross_entropy(logits, mixed).item(), rel=1e-5)
    sure = torch.tensor([[100.0, 0.0]], requires_grad=True)
    focal(sure, torch.tensor([0]), 2.0).backward()
    assert sure.grad is not None
    assert sure.grad.isfinite().all()


@cache
def plain_loss() -> float:
    """What the validation loss is with none of them."""
    return list(train(config(epochs=2)))[-1].val_loss


@pytest.mark.parametrize(
    "changed",
    [
        dict(class_weights="balanced"),
        dict(class_weights="effective"),
        dict(sampler="balanced"),
        dict(focal_gamma=2.0),
        dict(class_weights="effective", mixup=0.2, label_smoothing=0.1),
    ],
)
def test_each_changes_the_training_and_learns(changed: dict[str, object]) -> None:
    made = list(train(config(epochs=2, **changed)))[-1]
    assert made.val_acc > 0.5
    if "class_weights" not in changed or "mixup" in changed:  # the digits are even
        assert made.val_loss != plain_loss()
    assert list(train(config(epochs=2, **changed)))[-1].val_loss == made.val_loss


def test_the_doctor_says_how_uneven_the_classes_are(monkeypatch: pytest.MonkeyPatch) -> None:
    even = images.evenness(case())
    assert even.status == "ok"
    assert even.seen.startswith("10 classes of ")
    data = case().data()
    monkeypatch.setattr(data[0], "labels", torch.tensor([0] * 500 + [1] * 20 + list(range(2, 10)) * 30))
    uneven = images.evenness(case())
    assert (uneven.status, uneven.seen) == (
        "warn",
        "10 classes of 20 (1) to 500 (0) training images, median 30",
    )
    monkeypatch.setattr(data[0], "labels", torch.tensor(list(range(10)) * 30))
    assert images.evenness(case()).seen == "10 classes of 30 training images each"
    monkeypatch.setattr(data[0], "labels", torch.tensor([0] * 500 + [1] * 20 + list(range(2, 10)) * 30))
    assert "who calls all 0 has an accuracy of 65.8%" in uneven.remedy
    assert "class_weights=Choice('none', 'effective')" in uneven.remedy
    met = images.evenness(case(), [config(sampler="balanced")])
    assert met.status == "ok"
    assert met.seen.endswith("met by sampler")
    assert not Path("pictures").exists()
