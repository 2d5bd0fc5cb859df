"""What all data sets share: the split of indices by class, and decoding."""

from __future__ import annotations

import io
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from search.data.base import stratified
from search.data.reading.pictures import read_picture


@given(st.dictionaries(st.integers(0, 9), st.integers(2, 40), min_size=2), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_stratified_halves_every_class(counts: dict[int, int], seed: int) -> None:
    labels = [label for label, count in counts.items() for _ in range(count)]
    first, second = stratified(labels, 0.5, seed)
    assert sorted(first + second) == list(range(len(labels)))
    assert (first, second) == stratified(labels, 0.5, seed)
    one, other = (Counter(labels[i] for i in part) for part in (first, second))
    assert all(abs(one[label] - other[label]) <= 1 for label in counts)


def test_another_seed_is_another_split() -> None:
    labels = [0, 1] * 50
    assert stratified(labels, 0.5, seed=0) != stratified(labels, 0.5, seed=1)


def test_decode_takes_what_pillow_takes() -> None:
    file = io.BytesIO()
    Image.new("CMYK", (3, 2)).save(file, "JPEG")
    assert read_picture(file.getvalue()).image.size == (3, 2)
