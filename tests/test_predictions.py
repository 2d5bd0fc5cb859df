"""What a trial called each image: read back as it was written, and never another trial's."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from search import predictions
from search.predictions import Answers

COUNT = 40
CLASSES = ("ant", "b$ä", "猫")
KEY = "digits-0123/val"


@given(
    arrays(np.int64, COUNT, elements=st.integers(0, 2)), arrays(np.float32, COUNT, elements=st.floats(0, 1, width=32))
)
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_answers_come_back(named: np.ndarray, sure: np.ndarray) -> None:
    labels = np.arange(COUNT) % 3
    predictions.write("a study", 3, predictions.pack(Answers(labels, named, sure, CLASSES, KEY)))
    right = int((labels == named).sum())
    read = predictions.read("a study", 3, COUNT, right)
    assert read is not None
    assert np.array_equal(read.labels, labels)
    assert np.array_equal(read.named, named)
    assert np.allclose(read.sure, sure, atol=5e-4)
    assert (read.classes, read.images) == (CLASSES, KEY)
    assert predictions.read("a study", 3, COUNT, right + 1) is None  # of a study that had the name before
    assert predictions.read("a study", 3, COUNT + 1, right) is None


def test_what_is_not_there_or_broken_is_none() -> None:
    assert predictions.read("s", 0, 2, 1) is None
    whole = predictions.pack(Answers(np.array([0, 1]), np.array([0, 0]), np.array([0.5, 1.0]), ("a", "b"), KEY))
    for broken in (b"", b"PK\x03\x04", whole[:-30], b"\x93NUMPY"):
        predictions.write("s", 0, broken)
        assert predictions.read("s", 0, 2, 1) is None
    predictions.write("s", 0, whole)
    assert predictions.read("s", 0, 2, 1) is not None


def test_ten_thousand_images_take_little_room() -> None:
    noise = np.random.default_rng(0)
    labels = np.sort(noise.integers(0, 101, 10_000))
    made = Answers(labels, labels, noise.random(10_000), tuple(f"class {i}" for i in range(101)), KEY)
    assert len(predictions.pack(made)) < 4 * 10_000
