"""The epoch loop, a generator, which knows neither Ray nor Optuna: its caller may stop after any epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from torch import nn

from search.config import CACHE_SIZE, Epoch, TrainConfig
from search.data.reading.skipping import skips_broken
from search.data.registry import forget_opened
from search.entry_points import METRICS
from search.files.locations import Where
from search.train.batches import Batches, default_data_root, load_data, load_splits
from search.train.checkpoints import Checkpoints, State
from search.train.device import Runtime, make_repeatable, resolve_runtime
from search.train.evaluate import evaluate, packed
from search.train.footprint import footprint, forget_peak
from search.train.frozen.activations import NoRoom
from search.train.frozen.prefix import NoPrefix
from search.train.learner import BODY, Learner
from search.train.ranks import ALONE, Ranks


class Diverged(ArithmeticError):
    """The loss is NaN or infinite."""


def train(
    config: TrainConfig,
    data_root: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    cache_size: int = CACHE_SIZE,
    say: Callable[[str], None] | None = None,
    done: Callable[[Epoch, nn.Module], None] | None = None,
    checkpoints: Where | None = None,
    ranks: Ranks = ALONE,
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
        checkpoints: a folder, or its URL, for checkpoints; if it holds some, the epochs go on after the last.
        ranks: of several processes that train together, this one; only the first writes checkpoints.

    Raises:
        SearchError: the model, the data, the weights or the frozen prefixes are not there.
        Diverged: the training or the validation loss is NaN or infinite.
    """
    runtime = resolve_runtime(config.precision, device, threads)
    root = Path(data_root) if data_root else default_data_root()
    key = (*(getattr(config, name) for name in BODY), root, runtime, cache_size, skips_broken())
    spare = _spare  # at the interpreter's end the module's name is gone before its generators are
    if key in spare:
        learner, val = spare.pop(key)
        learner.restart(config)
    else:
        learner, val = new_learner(config, root, runtime, cache_size, say, ranks)
    store = Checkpoints(checkpoints, say) if checkpoints else None
    try:
        forget_peak(runtime)
        first = _resumed(learner, store, say) + 1
        for number in range(first, config.epochs + 1):
            epoch = _epoch(learner, val, number)
            if number == first or (number == config.epochs and config.gradual_unfreeze):  # which takes more in the end
                epoch = _with_footprint(epoch, learner)
            if done is not None and number == config.epochs:
                done(epoch, learner.result)
            yield epoch
            if store is not None and not ranks.rank and number < config.epochs:  # the caller has recorded this one
                store.after(number, epoch.seconds, partial(_state, learner, number))
    except GeneratorExit:  # nobody wants this model: the next trial starts again with it
        spare.clear()
        spare[key] = learner, val
        raise
    return learner.result


def _with_footprint(epoch: Epoch, learner: Learner) -> Epoch:
    taken = footprint(learner.model, learner.config, learner.runtime, learner.image())
    return epoch.model_copy(update={"footprint": taken})


def _resumed(learner: Learner, store: Checkpoints | None, say: Callable[[str], None] | None) -> int:
    """The epoch that the learner goes on from, 0 if from none; of several ranks, all from the same."""
    size, ranks = learner.config.batch_size, learner.ranks
    if say is not None and size < ranks.count * learner.least:
        used = max(1, size // learner.least)
        say(f"batch_size={size}: of its {ranks.count} processes only {used} {'has' if used == 1 else 'have'} images")
    found = store.newest(learner.config) if store is not None else None
    epoch = int(found["epoch"]) if found is not None else 0
    if not learner.ranks.agree(epoch):
        if say is not None:
            say("its checkpoint could not be read in each of its processes, so it begins with epoch 1")
        return 0
    if found is not None:
        learner.resume(found["learner"])
        here = learner.runtime.precision
        if say is not None and found.get("precision", here) != here:
            said = f"epochs up to {epoch} are in {found['precision']}, and the later ones in {here}"
            say(f"{said}, which precision='auto' means on this machine")
    return epoch


def _state(learner: Learner, number: int) -> State:
    config, precision = learner.config.model_dump_json(), learner.runtime.precision
    return {"config": config, "epoch": number, "precision": precision, "learner": learner.state()}


_spare: dict[tuple[object, ...], tuple[Learner, Batches]] = {}
"""The learner of the last trial, at most one. To build and load a model takes longer than many a trial's epoch."""


def forget() -> None:
    """Drop what this process keeps of earlier trials: their data may have changed since."""
    _spare.clear()
    load_data.cache_clear()
    forget_opened()


def new_learner(
    config: TrainConfig,
    root: Path,
    runtime: Runtime,
    cache_size: int,
    say: Callable[[str], None] | None = None,
    ranks: Ranks = ALONE,
) -> tuple[Learner, Batches]:
    """A learner, and the validation split as it wants to see it; the arguments are `train`'s."""
    _spare.clear()
    train_data, val_data = load_splits(config, root, runtime.device, "train", "val")
    learner = Learner(config, train_data, runtime, ranks)
    if runtime.device == "cuda":
        make_repeatable(learner.model, runtime, learner.image(), say)
    if config.frozen and cache_size:
        try:
            seen = learner.cache_prefix(val_data, cache_size)
            _say_home(learner, say)
            return learner, seen
        except (NoPrefix, NoRoom) as error:
            if say is not None:
                say(f"{config.model}, frozen={','.join(config.frozen)}: computed anew in every epoch: {error}")
    _say_home(learner, say)
    return learner, val_data


def _say_home(learner: Learner, say: Callable[[str], None] | None) -> None:
    """Say that what is trained on does not lie on the GPU."""
    if say is not None and learner.data.home == "cpu" != learner.runtime.device:
        left = "the GPU's free memory is too small for all that is trained on, so each batch is copied from the host"
        say(f"{left}; fewer trials a GPU leave more of it, and a smaller image_side or subset takes less")


def _epoch(learner: Learner, val: Batches, number: int) -> Epoch:
    """Train and validate once. Raises Diverged."""
    start = time.perf_counter()
    lr, rates = learner.begin(number), learner.rates()
    count = len(learner.data)
    batches = learner.batches(learner.draw())
    losses = learner.ranks.summed(torch.stack([learner.step(index) for index in batches]).double()).cpu()
    sizes = torch.tensor([len(batch) for batch in batches], dtype=torch.float64)
    train_loss = (losses @ sizes / count).item()
    if not math.isfinite(train_loss):
        step = int((~losses.isfinite()).nonzero()[0].item()) + 1
        raise Diverged(f"the training loss is {train_loss} from step {step} of epoch {number} on")
    seen = evaluate(learner.judged, val, learner.runtime, learner.ranks)
    if not math.isfinite(seen.loss):  # the last steps broke the weights
        raise Diverged(f"the validation loss is {seen.loss} after epoch {number}")
    measured: dict[str, Any] = {name: resolve_name(metric)(seen) for name, metric in METRICS.items()}
    learner.schedule.after_epoch()
    last = number == learner.config.epochs
    return Epoch(
        epoch=number,
        train_loss=train_loss,
        train_acc=learner.accuracy(),
        last_step_loss=losses[-1].item(),
        lr=lr,
        rates=rates,
        seconds=time.perf_counter() - start,
        val_images=len(val) if last else None,
        about=learner.about if last else None,
        data=val.identity.fingerprint or None,
        weights=learner.weights or None,
        predictions=packed(val, seen) if last else None,
        **measured,
    )
