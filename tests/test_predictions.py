"""A trial's predictions: read back as they were written, and never another trial's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from search import predictions
from search.predictions import Predictions

COUNT = 40
CLASSES = ("ant", "b$ä", "猫")
KEY = "digits-0123/val"


@given(
    arrays(np.int64, COUNT, elements=st.integers(0, 2)), arrays(np.float32, COUNT, elements=st.floats(0, 1, width=32))
)
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_predictions_come_back(predicted: np.ndarray, confidence: np.ndarray) -> None:
    labels = np.arange(COUNT) % 3
    predictions.write("a study", 3, predictions.pack(Predictions(labels, predicted, confidence, CLASSES, KEY)))
    right = int((labels == predicted).sum())
    read = predictions.read("a study", 3, COUNT, right)
    assert read is not None
    assert np.array_equal(read.labels, labels)
    assert np.array_equal(read.predicted, predicted)
    assert np.allclose(read.confidence, confidence, atol=5e-4)
    assert (read.classes, read.images) == (CLASSES, KEY)
    assert predictions.read("a study", 3, COUNT, right + 1) is None  # of a study that had the name before
    assert predictions.read("a study", 3, COUNT + 1, right) is None
    counts = {3: (COUNT, right), 4: (COUNT, right)}
    (bits,) = predictions.read_correct("a study", counts).values()  # there is no trial 4
    assert np.array_equal(np.unpackbits(bits, count=COUNT), labels == predicted)
    assert predictions.read_correct("a study", {3: (COUNT, right + 1)}) == {}
    assert predictions.read_correct("a study", {3: (COUNT + 8, right)}) == {}


def test_what_is_not_there_or_broken_is_none() -> None:
    assert predictions.read("s", 0, 2, 1) is None
    whole = predictions.pack(Predictions(np.array([0, 1]), np.array([0, 0]), np.array([0.5, 1.0]), ("a", "b"), KEY))
    for broken in (b"", b"PK\x03\x04", whole[:-30], b"\x93NUMPY"):
        predictions.write("s", 0, broken)
        assert predictions.read("s", 0, 2, 1) is None
        assert predictions.read_correct("s", {0: (2, 1)}) == {}
    predictions.write("s", 0, whole)
    assert predictions.read("s", 0, 2, 1) is not None


def test_ten_thousand_images_take_little_room() -> None:
    noise = np.random.default_rng(0)
    labels = np.sort(noise.integers(0, 101, 10_000))
    made = Predictions(labels, labels, noise.random(10_000), tuple(f"class {i}" for i in range(101)), KEY)
    assert len(predictions.pack(made)) < 4 * 10_000


def test_trials_with_other_labels_are_read_beside_each_other() -> None:
    for trial, labels in enumerate((np.array([0, 1, 1]), np.array([1, 1, 0]))):
        made = Predictions(labels, np.array([0, 1, 0]), np.ones(3), ("a", "b"), KEY)
        predictions.write("s", trial, predictions.pack(made))
    found = predictions.read_correct("s", {0: (3, 2), 1: (3, 2)})
    assert [np.unpackbits(bits, count=3).tolist() for bits in found.values()] == [[1, 1, 0], [0, 1, 1]]


def test_the_bits_of_an_earlier_version_are_read() -> None:
    folder = Path("runs/s/correct")
    folder.mkdir(parents=True)
    np.save(folder / "0.npy", np.packbits([1, 0, 1]))
    (folder / "1.npy").write_bytes(b"\x93NUMPY")
    found = predictions.read_correct("s", {0: (3, 2), 1: (3, 2)})
    assert {trial: bits.tolist() for trial, bits in found.items()} == {0: [0b10100000]}
    assert predictions.read_correct("s", {0: (3, 1)}) == {}
