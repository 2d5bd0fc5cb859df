from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search.data.cache import Images
from search.doctor import duplicates
from search.doctor.duplicates import check


def splits(train: Any, val: Any) -> tuple[Images, Images]:
    return tuple(  # type: ignore[return-value] # two of them
        Images(
            np.stack(some), np.zeros(len(some), np.int64), ("a",), tuple(f"{name}{i}" for i in range(len(some))), name
        )
        for name, some in (("t", train), ("v", val))
    )


def scenes(count: int, seed: int, side: int = 64) -> list[Any]:
    """Pictures of smooth colours, no two alike."""
    noise = np.random.default_rng(seed).integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)) for small in noise]


def test_different_images_pass() -> None:
    found = check(*splits(scenes(200, 0), scenes(200, 1)))
    assert (found.status, found.remedy) == ("ok", "")


def test_an_image_in_both_splits_fails_by_name() -> None:
    train, val = scenes(20, 0), scenes(20, 1)
    val[7] = train[3]
    found = check(*splits(train, val))
    assert found.status == "FAIL"
    assert "1 in both splits: t3 = v7" in found.seen


@pytest.mark.parametrize("side", [8, 28])
def test_so_it_does_where_images_are_small(side: int) -> None:
    train, val = scenes(20, 0, side), scenes(20, 1, side)
    assert check(*splits(train, val)).status == "ok"
    val[7] = train[3]
    assert check(*splits(train, val)).status == "FAIL"


def test_another_compression_size_and_brightness_is_a_near_duplicate() -> None:
    train, val = scenes(20, 0), scenes(20, 1)
    data = io.BytesIO()
    Image.fromarray(train[3]).resize((48, 48)).resize((64, 64)).save(data, "JPEG", quality=40)
    val[5] = (np.asarray(Image.open(data)) * 0.8).astype(np.uint8)
    found = check(*splits(train, val))
    assert found.status == "warn"
    assert "none in both splits, 1 pairs nearly the same: t3 = v5" in found.seen


def test_pictures_that_show_next_to_nothing_are_no_near_duplicates() -> None:
    noise = np.random.default_rng(0)
    dark = [noise.integers(0, 6, (64, 64, 3), dtype=np.uint8) for _ in range(40)]
    assert check(*splits(dark[:20], dark[20:])).status == "ok"


def test_where_time_is_short_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "SECONDS", -1.0)
    found = check(*splits(scenes(3, 0), scenes(3, 1)))
    assert found.status == "warn"
    assert "were not enough for all" in found.seen


@pytest.mark.slow
def test_the_faces_of_caltech_stand_in_two_classes(shared_data: Any) -> None:
    from search.data import cache
    from search.data.caltech101 import Caltech101

    train, val = cache.load(Caltech101(shared_data), 64, ("train", "val"))
    found = check(train, val)
    assert found.status == "warn"
    assert "Faces_easy/image_0114.jpg = Faces/image_0114.jpg" in found.seen
