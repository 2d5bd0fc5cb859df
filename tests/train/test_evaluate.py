"""Evaluation against plain torch, and the metrics by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from search.models import build
from search.train.batches import load_data
from search.train.device import resolve_runtime
from search.train.evaluate import evaluate, val_acc, val_loss


def test_every_image_is_evaluated_once() -> None:
    torch.manual_seed(0)
    model = build("cnn", 10, 1)
    (val,) = load_data("cnn", "digits", Path("data"), "cpu", ("val",))
    seen = evaluate(model, val, resolve_runtime("fp32", "cpu"))
    x, y = val.batch(torch.arange(len(val)), torch.contiguous_format)
    with torch.no_grad():
        logits = model(x)
    assert torch.equal(seen.labels, y)
    assert torch.equal(seen.predicted, logits.argmax(1))
    assert torch.allclose(seen.confidence, logits.softmax(1).max(1).values)
    assert val_loss(seen) == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-5)
    assert val_acc(seen) == (logits.argmax(1) == y).double().mean().item()
