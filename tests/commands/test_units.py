"""What people write, as numbers. What they should not write is in test_bad_options.py."""

from __future__ import annotations

import pytest

from search import config
from search.commands import options, units
from search.study.ending.stopping import Budget

TIMES: list[tuple[str | float | None, float | None]] = [
    (None, None),
    ("90", 90),
    ("90s", 90),
    ("1.5 m", 90),
    ("2h", 7200),
    (30, 30),  # from Python
    (1.5, 1.5),
]


@pytest.mark.parametrize(("text", "seconds"), TIMES)
def test_seconds(text: str | float | None, seconds: float | None) -> None:
    assert units.seconds(text, "timeout") == seconds


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("1000", 1000), ("500M", 500 * 2**20), ("1.5 GB", 3 * 2**29), ("2t", 2**41)]
)
def test_sizes(text: str, expected: int) -> None:
    assert units.bytes(text, "cache_size") == expected


@pytest.mark.parametrize(
    ("text", "budget"), [(None, None), ("4gpuh", Budget(4, "gpu")), ("90 CPUm", Budget(1.5, "cpu"))]
)
def test_budgets(text: str | None, budget: Budget | None) -> None:
    assert units.budget(text, "budget") == budget


def test_the_cache_size_that_people_read_is_the_trainers() -> None:
    assert units.bytes(options.CACHE_SIZE, "cache_size") == config.CACHE_SIZE
