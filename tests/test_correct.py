"""The bits of a trial: read back as they were written, and never another trial's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search import correct


@given(st.lists(st.booleans(), min_size=1, max_size=70))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bits_come_back(right: list[bool]) -> None:
    correct.write("a study", 3, bytes(right))
    bits = correct.read("a study", 3, len(right), sum(right))
    assert bits is not None
    assert list(np.unpackbits(bits, count=len(right))) == right
    assert correct.read("a study", 3, len(right), sum(right) - 1) is None  # of a study that had the name before
    assert correct.read("a study", 3, len(right) + 8, sum(right)) is None
    assert [path.name for path in Path("runs/a study/correct").iterdir()] == ["3.npy"]


def test_what_is_not_there_or_broken_is_none() -> None:
    assert correct.read("s", 0, 8, 1) is None
    correct.write("s", 0, bytes([1, 0]))
    correct.place("s", 0).write_bytes(b"\x93NUMPY")
    assert correct.read("s", 0, 2, 1) is None
