"""Fixtures of every test: Optuna draws the same numbers in each run of a test, and reads its migrations once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from zlib import crc32

import numpy as np
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from optuna.samplers._lazy_random_state import LazyRandomState


@pytest.fixture(scope="session", autouse=True)
def migrations() -> Iterator[None]:
    """Optuna's migration scripts, which it reads whenever it opens a database, are read once."""
    read: Callable[[Config], ScriptDirectory] = ScriptDirectory.from_config
    known: dict[str | None, ScriptDirectory] = {}

    def once(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in known:
            known[place] = read(config)
        return known[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", once)
        yield


@pytest.fixture(autouse=True)
def same_draws(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sampler without a seed draws in this process is the same in each run of the test."""
    draws = count(crc32(request.node.nodeid.encode()))

    def seeded(state: LazyRandomState) -> None:
        state._rng = np.random.RandomState(next(draws) % 2**32)

    monkeypatch.setattr(LazyRandomState, "_set_rng", seeded)
