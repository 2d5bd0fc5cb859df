"""`search train`: its options; commands/steps/train.py does it."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

from search.commands import units
from search.commands.options import (
    CACHE_SIZE,
    STORAGE,
    CacheSize,
    Code,
    DataRoot,
    Help,
    Parsed,
    SkipBroken,
    StorageOptions,
)


@dataclass(kw_only=True)
class TrainOptions(StorageOptions):
    trains = True

    best: Annotated[Path, Help("A config that `search run` or `search export` wrote.", metavar="BEST.yaml")] = field(
        kw_only=False
    )
    data_root: DataRoot = Parsed(units.data_root, "data")
    code: Code = Parsed(units.code, ())
    skip_broken: SkipBroken = False
    cache_size: CacheSize = Parsed(units.bytes, CACHE_SIZE)
    verify: Annotated[bool, Help("Only say whether the number comes out again; exit status 1 if it does not.")] = False


def train(options: TrainOptions) -> bool:
    """Train a best config again from nothing; print validation and, once, test accuracy; write the model beside it."""
    from search.commands.steps.export import read_best
    from search.commands.steps.train import retrain
    from search.data.reading.skipping import skipping
    from search.study.known import check_named
    from search.study.storage.open import check_storage

    if options.storage != STORAGE:  # which need not be there
        check_storage(options.storage)
    say = partial(print, flush=True)
    best = read_best(options.best)
    check_named(str(options.best), best.config.model_dump(), options.code)
    with skipping(options.skip_broken):
        return retrain(options.best, best, options.storage, options.data_root, options.cache_size, say, options.verify)
