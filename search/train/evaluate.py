"""Evaluation: a model on a split, the metrics of that, and the test split."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search import predictions
from search.config import CACHE_SIZE, TrainConfig
from search.files.locations import Where
from search.metrics.answers import Answers
from search.metrics.registry import measured
from search.models import build
from search.train.batches import EVAL_BATCH, Batches, activations, default_data_root, load_splits
from search.train.device import Runtime, cores, resolve_runtime
from search.train.dropout import set_dropout
from search.train.freeze import freeze, train_mode
from search.train.frozen.activations import NoRoom
from search.train.frozen.prefix import NoPrefix, cut
from search.train.ranks import ALONE, Ranks
from search.train.weights import load


@dataclass(frozen=True)
class Evaluation:
    """A model on a split of N images; the tensors are (N,), on the device."""

    loss: float
    """Mean cross-entropy, in nats."""
    accuracy: float
    """Top-1, a fraction."""
    labels: Tensor
    """int64."""
    predicted: Tensor
    """The class with the highest probability, int64."""
    confidence: Tensor
    """That probability, float32."""
    logits: Tensor
    """(N, classes), float32."""

    @cached_property
    def answers(self) -> Answers:
        """The same as arrays, for `search.metrics`."""
        labels, predicted = self.labels.cpu().numpy(), self.predicted.cpu().numpy()
        own = self.logits.gather(1, self.labels[:, None])
        ranks = (self.logits > own).sum(1).cpu().numpy()
        logits = self.logits.cpu().numpy()
        return Answers(labels, predicted, self.confidence.cpu().numpy(), logits.shape[1], ranks, logits)


def val_loss(seen: Evaluation) -> float:
    """A metric, as `entry_points.METRICS` lists them."""
    return seen.loss


def val_acc(seen: Evaluation) -> float:
    """A metric, as `entry_points.METRICS` lists them."""
    return seen.accuracy


def val_balanced_acc(seen: Evaluation) -> float:
    """A metric, as `entry_points.METRICS` lists them."""
    return measured("val_balanced_acc", seen.answers)


def val_f1(seen: Evaluation) -> float:
    """A metric, as `entry_points.METRICS` lists them."""
    return measured("val_f1", seen.answers)


def val_top5_acc(seen: Evaluation) -> float:
    """A metric, as `entry_points.METRICS` lists them."""
    return measured("val_top5_acc", seen.answers)


def val_auroc(seen: Evaluation) -> float:
    """A metric, as `entry_points.METRICS` lists them."""
    return measured("val_auroc", seen.answers)


def val_ece(seen: Evaluation) -> float:
    """A metric, as `entry_points.METRICS` lists them; to six digits, for those of float32 beyond them are noise."""
    return round(measured("val_ece", seen.answers), 6)


@torch.no_grad()
def evaluate(model: nn.Module, data: Batches, runtime: Runtime, ranks: Ranks = ALONE) -> Evaluation:
    """Put every image of `data` through `model`, in `eval()`; each of the `ranks` a part, and all find the same."""
    model.eval()
    ranks.share_statistics(model)
    ranks = ranks if len(data) >= ranks.count else ALONE
    total = torch.zeros((), dtype=torch.float64, device=runtime.device)
    best = []
    with runtime.autocast():  # once, so that it casts each weight once
        for index in ranks.part(torch.arange(len(data), device=data.home)).split(EVAL_BATCH[runtime.device]):
            x, y = data.batch(index, runtime.memory_format)
            logits = model(x).float()
            total += F.cross_entropy(logits, y, reduction="sum")
            highest, called = logits.max(1)
            best.append((called, (highest - logits.logsumexp(1)).exp(), logits))
    predicted, confidence, whole = (ranks.gathered(torch.cat(parts), len(data)) for parts in zip(*best, strict=True))
    right = (predicted == data.labels).sum(dtype=torch.float64)
    loss, accuracy = (torch.stack([ranks.summed(total), right]) / len(data)).tolist()
    return Evaluation(loss, accuracy, data.labels, predicted, confidence, whole)


def packed(data: Batches, seen: Evaluation) -> bytes:
    """The class and the probability of every image, as `search.predictions` keeps them."""
    found = seen.answers
    made = predictions.Predictions(
        found.labels, found.predicted, found.confidence, data.classes, data.images, found.ranks
    )
    return predictions.pack(made)


def evaluate_test(
    model: nn.Module,
    config: TrainConfig,
    data_root: str | Path | None = None,
    device: str = "auto",
    cache_size: int = CACHE_SIZE,
    threads: int | None = None,
) -> tuple[float, int]:
    """Top-1 accuracy on the test split, a fraction, and of how many images.

    The activations of frozen layers are kept for the next evaluation, in at most `cache_size` bytes of disk; 0 keeps
    nothing. `threads`: by default as many as trained. Only `search run`, `search train` and `search confirm` evaluate
    on the test split, at their end.
    """
    runtime = resolve_runtime(config.precision, device, threads)
    root = Path(data_root) if data_root else default_data_root()
    (test,) = load_splits(config, root, runtime.device, "test")
    if config.frozen and cache_size:
        with suppress(NoPrefix, NoRoom):
            train_mode(model, config.frozen)
            parts = cut(model, test.batch(torch.arange(1), runtime.memory_format)[0])
            seen = activations(parts, test, runtime, "none", 1, 0, cache_size)
            return evaluate(parts.rest, seen, runtime).accuracy, len(test)
    return evaluate(model, test, runtime).accuracy, len(test)


def evaluate_kept(
    path: Where, settings: Mapping[str, Any], data_root: Path, device: str, cache_size: int, say: object = None
) -> tuple[float, int]:
    """What `evaluate_test` finds for the weights at `path`, which `weights.save` wrote for the config `settings`.

    Takes all cores: no trial runs then. `say` is never called. Raises SearchError.
    """
    config = TrainConfig(**settings)
    runtime = resolve_runtime(config.precision, device, cores())
    (test,) = load_splits(config, data_root, runtime.device, "test")
    model = build(config.model, len(test.classes), test.channels, config.weights, test.size, config.hidden)
    freeze(model, config.frozen)
    set_dropout(model, config)
    load(model, config, path, test)
    model.to(runtime.device).to(memory_format=runtime.memory_format)
    return evaluate_test(model, config, data_root, runtime.device, cache_size)
