from __future__ import annotations

import numpy as np

from search.doctor.case import spread


def test_spread_takes_one_of_each_class_then_a_second() -> None:
    labels = np.array([0] * 50 + [1] * 3 + [2] * 10)
    rows = spread(labels, 6)
    assert sorted(labels[rows[:3]]) == [0, 1, 2]
    assert sorted(labels[rows[3:]]) == [0, 1, 2]
    assert rows == spread(labels, 6)
    assert sorted(spread(labels, 1000)) == list(range(63))
