"""The epoch loop. It knows neither Ray nor Optuna: whoever draws the epochs may stop drawing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search import predictions
from search.config import CACHE_SIZE, Epoch, TrainConfig
from search.files.locations import Where
from search.models import build
from search.train.batches import EVAL_BATCH, Batches, activations, default_data_root, load_splits
from search.train.checkpoints import Checkpoints, State
from search.train.device import Runtime, cores, resolve_runtime
from search.train.dropout import set_dropout
from search.train.footprint import footprint, forget_peak
from search.train.freeze import freeze, train_mode
from search.train.frozen.activations import NoRoom
from search.train.frozen.prefix import NoPrefix, cut
from search.train.learner import BODY, Learner
from search.train.weights import load


class Diverged(ArithmeticError):
    """The loss is no number any more."""


def train(
    config: TrainConfig,
    data_root: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    cache_size: int = CACHE_SIZE,
    say: Callable[[str], None] | None = None,
    done: Callable[[Epoch, nn.Module], None] | None = None,
    checkpoints: Where | None = None,
) -> Generator[Epoch, None, nn.Module]:
    """Train `config`, yielding one Epoch after another; the generator's return value is the trained model.

    >>> for epoch in train(config):
    ...     print(epoch)

    Args:
        config: what to train.
        data_root: the folder that holds the data sets; by default ``$SEARCH_DATA_ROOT``, or ``data``.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; by default torch's own choice.
        cache_size: bytes of disk for the activations of frozen layers, which are computed once; 0 computes them anew.
        say: called with one line where frozen layers are computed in every epoch all the same, and why.
        done: called with the last epoch and the trained model, which it leaves as it is, before that epoch is yielded.
        checkpoints: a folder, or its URL, for this training's checkpoints; if it holds some, the epochs go on after
            the last.

    Raises:
        SearchError: the model, the data, the weights or the frozen prefixes are not there.
        Diverged: the training or the validation loss is NaN or infinite.
    """
    place = resolve_runtime(config.precision, device, threads)
    root = Path(data_root) if data_root else default_data_root()
    key = (*(getattr(config, name) for name in BODY), root, place, cache_size)
    spare = _spare  # at the interpreter's end the module's name is gone before its generators are
    if key in spare:
        learner, val = spare.pop(key)
        learner.restart(config)
    else:
        learner, val = new_learner(config, root, place, cache_size, say)
    kept = Checkpoints(checkpoints, say) if checkpoints else None
    try:
        forget_peak(place)
        first = _resumed(learner, kept) + 1
        for number in range(first, config.epochs + 1):
            epoch = _epoch(learner, val, number)
            if number == first or (number == config.epochs and config.gradual_unfreeze):  # which takes more in the end
                taken = footprint(learner.model, config, place, learner.image())
                epoch = epoch.model_copy(update={"footprint": taken})
            if done is not None and number == config.epochs:
                done(epoch, learner.result)
            yield epoch
            if kept is not None and number < config.epochs:  # whoever wants the next has noted this one
                kept.after(number, epoch.seconds, partial(_state, learner, number))
    except GeneratorExit:  # nobody wants this model: the next trial starts again with it
        spare.clear()
        spare[key] = learner, val
        raise
    return learner.result


def _resumed(learner: Learner, kept: Checkpoints | None) -> int:
    """The epoch that the learner goes on from, 0 if from none."""
    found = kept.newest(learner.config) if kept is not None else None
    if found is None:
        return 0
    learner.resume(found["learner"])
    return int(found["epoch"])


def _state(learner: Learner, number: int) -> State:
    return {"config": learner.config.model_dump_json(), "epoch": number, "learner": learner.state()}


_spare: dict[tuple[object, ...], tuple[Learner, Batches]] = {}
"""The learner of the last trial, at most one. To build and load a model takes longer than many a trial's epoch."""


def new_learner(
    config: TrainConfig, root: Path, place: Runtime, cache_size: int, say: Callable[[str], None] | None = None
) -> tuple[Learner, Batches]:
    """A learner, and the validation split as it wants to see it; the arguments are `train`'s."""
    _spare.clear()
    train_data, val_data = load_splits(config, root, place.device, "train", "val")
    learner = Learner(config, train_data, place)
    if config.frozen and cache_size:
        try:
            return learner, learner.cache_prefix(val_data, cache_size)
        except (NoPrefix, NoRoom) as error:
            if say is not None:
                say(f"{config.model}, frozen={','.join(config.frozen)}: computed anew in every epoch: {error}")
    return learner, val_data


def _epoch(learner: Learner, val: Batches, number: int) -> Epoch:
    """Train and validate once. Raises Diverged."""
    start = time.perf_counter()
    lr, rates = learner.begin(number), learner.rates()
    count = len(learner.data)
    order = torch.randperm(count, generator=learner.order).to(learner.place.device)  # once: every copy takes a wait
    batches = order.split(learner.config.batch_size)
    losses = torch.stack([learner.step(index) for index in batches]).double().cpu()
    sizes = torch.tensor([len(batch) for batch in batches], dtype=torch.float64)
    train_loss = (losses @ sizes / count).item()
    if not math.isfinite(train_loss):
        step = int((~losses.isfinite()).nonzero()[0].item()) + 1
        raise Diverged(f"the training loss is {train_loss} from step {step} of epoch {number} on")
    val_loss, val_acc, named, sure = evaluate(learner.judged, val, learner.place)
    if not math.isfinite(val_loss):  # the last steps broke the weights
        raise Diverged(f"the validation loss is {val_loss} after epoch {number}")
    learner.schedule.after_epoch()
    last = number == learner.config.epochs
    return Epoch(
        epoch=number,
        train_loss=train_loss,
        train_acc=learner.accuracy(),
        last_step_loss=losses[-1].item(),
        val_loss=val_loss,
        val_acc=val_acc,
        lr=lr,
        rates=rates,
        seconds=time.perf_counter() - start,
        right=(named == val.labels).cpu().numpy().tobytes() if last else None,
        answers=_answers(val, named, sure) if last else None,
    )


def _answers(val: Batches, named: Tensor, sure: Tensor) -> bytes:
    labels, called, confidence = (part.cpu().numpy() for part in (val.labels, named, sure))
    return predictions.pack(predictions.Answers(labels, called, confidence, val.classes, val.images))


@torch.no_grad()
def evaluate(model: nn.Module, data: Batches, place: Runtime) -> tuple[float, float, Tensor, Tensor]:
    """Mean cross-entropy in nats, top-1 accuracy (a fraction); of each image (N,), on the device: class, probability.

    The class is the one named, int64; the probability what the model gives it, float32.
    """
    model.eval()
    total = torch.zeros((), dtype=torch.float64, device=place.device)
    best = []
    with place.autocast():  # once, so that it casts each weight once
        for index in torch.arange(len(data), device=place.device).split(EVAL_BATCH[place.device]):
            x, y = data.batch(index, place.memory_format)
            logits = model(x).float()
            total += F.cross_entropy(logits, y, reduction="sum")
            highest, called = logits.max(1)
            best.append((called, (highest - logits.logsumexp(1)).exp()))
    named, sure = (torch.cat(parts) for parts in zip(*best, strict=True))
    right = (named == data.labels).sum(dtype=torch.float64)
    loss, accuracy = (torch.stack([total, right]) / len(data)).tolist()
    return loss, accuracy, named, sure


def evaluate_test(
    model: nn.Module,
    config: TrainConfig,
    data_root: str | Path | None = None,
    device: str = "auto",
    cache_size: int = CACHE_SIZE,
    threads: int | None = None,
) -> tuple[float, int]:
    """Top-1 accuracy on the test split, a fraction, and of how many images.

    What frozen layers make of them is kept for the next look, in at most `cache_size` bytes of disk; 0 keeps nothing.
    `threads`: by default as many as trained. Only the end of `search run`, `search train` and `search confirm` may look
    at it.
    """
    place = resolve_runtime(config.precision, device, threads)
    root = Path(data_root) if data_root else default_data_root()
    (test,) = load_splits(config, root, place.device, "test")
    if config.frozen and cache_size:
        with suppress(NoPrefix, NoRoom):
            train_mode(model, config.frozen)
            parts = cut(model, test.batch(torch.arange(1), place.memory_format)[0])
            seen = activations(parts, test, place, "none", 1, 0, cache_size)
            return evaluate(parts.rest, seen, place)[1], len(test)
    return evaluate(model, test, place)[1], len(test)


def evaluate_kept(
    path: Where, settings: Mapping[str, Any], data_root: Path, device: str, cache_size: int, say: object = None
) -> tuple[float, int]:
    """What `evaluate_test` finds for the weights at `path`, which `checkpoint.save` wrote for the config `settings`.

    With all cores, for the trials are over. `say` is not called: there is nothing to tell on the way. Raises
    SearchError.
    """
    config = TrainConfig(**settings)
    place = resolve_runtime(config.precision, device, cores())
    (test,) = load_splits(config, data_root, place.device, "test")
    model = build(config.model, len(test.classes), test.channels, config.weights, test.side, config.hidden)
    freeze(model, config.frozen)
    set_dropout(model, config)
    load(model, config, path)
    model.to(place.device).to(memory_format=place.memory_format)
    return evaluate_test(model, config, data_root, place.device, cache_size)
