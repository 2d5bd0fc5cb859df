"""Images that stand in two splits: a model that has seen them validates too well."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from search.data import cache
from search.doctor.case import Finding

SIDE = 32
"""Pixels of the grey thumbnails that are compared."""
BITS_APART = 10
"""Of the 64 bits of two images' difference hashes, how many may differ before they are compared at all."""
ALIKE = 0.99
"""Correlation of two thumbnails from which on two images are called near-duplicates."""
FLAT = 4.0
"""Standard deviation, of 255 grey levels, below which a thumbnail shows too little to be compared."""
SECONDS = 25.0


def check(train: cache.Images, val: cache.Images) -> Finding:
    """Find images of the validation split that the training split has too, the same or nearly so.

    The same: equal pixels as decoded. Nearly: difference hashes (Krawetz 2013, "Kind of Like That") at most
    BITS_APART bits apart, and grey thumbnails that correlate to ALIKE, so after another compression, size or
    brightness, but not after a crop or a flip. The test split stays sealed.
    """
    end = time.monotonic() + SECONDS
    same, done = _same(train, val, end)
    near: list[tuple[int, int]] = []
    if train.pixels.shape[1] >= SIDE:  # in smaller ones, two handwritten sevens are as near as two copies
        near, compared = _near(train, val, end)
        near = [pair for pair in near if pair not in set(same)]
        done = done and compared
    part = "" if done else f"; {SECONDS:.0f} s were not enough for all"
    seen = f"{len(train.labels)} training and {len(val.labels)} validation images: "
    if same:
        names = _names(same, train, val)
        also = f", {len(near)} more nearly so" if near else ""
        return Finding(
            "FAIL", "duplicates", f"{seen}{len(same)} in both splits{also}: {names}{part}", "take them out of one split"
        )
    if near:
        return Finding(
            "warn",
            "duplicates",
            f"{seen}none in both splits, {len(near)} pairs nearly the same: {_names(near, train, val)}{part}",
            "look at these; keep one of each pair, or both in one split",
        )
    return Finding("ok" if done else "warn", "duplicates", f"{seen}none in both splits, none nearly the same{part}")


def _names(pairs: list[tuple[int, int]], train: cache.Images, val: cache.Images) -> str:
    shown = [f"{train.names[i]} = {val.names[j]}" for i, j in pairs[:3]]
    return ", ".join(shown) + (", ..." if len(pairs) > 3 else "")


def _same(train: cache.Images, val: cache.Images, end: float) -> tuple[list[tuple[int, int]], bool]:
    """Pairs (training row, validation row) of equal pixels, and whether there was time for all."""
    known: dict[bytes, int] = {}
    pairs: list[tuple[int, int]] = []
    for images, first in ((train, True), (val, False)):
        for row, pixels in enumerate(images.pixels):
            if row % 256 == 0 and time.monotonic() > end:
                return pairs, False
            digest = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()
            if first:
                known.setdefault(digest, row)
            elif digest in known:
                pairs.append((known[digest], row))
    return pairs, True


def _near(train: cache.Images, val: cache.Images, end: float) -> tuple[list[tuple[int, int]], bool]:
    """Pairs (training row, validation row) of images that look the same, and whether there was time for all."""
    ours, rows, done = thumbnails(train, end)
    theirs, others, also = thumbnails(val, end)
    if not len(ours) or not len(theirs):
        return [], done and also
    hashes = [_hash(some) for some in (ours, theirs)]
    flat = [_standardised(some) for some in (ours, theirs)]
    pairs: list[tuple[int, int]] = []
    for j in range(len(theirs)):
        if j % 256 == 0 and time.monotonic() > end:
            return pairs, False
        close = np.flatnonzero(np.bitwise_count(hashes[0] ^ hashes[1][j]) <= BITS_APART)
        if len(close):
            likeness = flat[0][close] @ flat[1][j]
            best = int(likeness.argmax())
            if likeness[best] >= ALIKE:
                pairs.append((int(rows[close[best]]), int(others[j])))
    return pairs, done and also


def thumbnails(
    images: cache.Images, end: float, side: int = SIDE
) -> tuple[NDArray[np.float32], NDArray[np.int64], bool]:
    """Grey thumbnails (N, S, S) of the images that show something, their rows, and whether there was time for all."""
    side = min(side, images.pixels.shape[1])
    kept, rows = [np.empty((0, side, side), np.float32)], [np.empty(0, np.int64)]
    for first in range(0, len(images.labels), 128):
        if time.monotonic() > end:
            return np.concatenate(kept), np.concatenate(rows), False
        grey = torch.from_numpy(np.array(images.pixels[first : first + 128])).float().mean(3)
        small: Any = F.adaptive_avg_pool2d(grey[:, None], side)[:, 0].numpy()
        shows = small.std(axis=(1, 2)) >= FLAT
        kept.append(small[shows])
        rows.append(first + np.flatnonzero(shows))
    return np.concatenate(kept), np.concatenate(rows), True


def _hash(thumbnails: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Difference hashes, 64 bits each: whether each of 8 x 9 cells is brighter than its neighbour."""
    cells: Any = F.adaptive_avg_pool2d(torch.from_numpy(thumbnails)[:, None], (8, 9))[:, 0].numpy()
    bits = cells[:, :, 1:] > cells[:, :, :-1]
    return np.packbits(bits.reshape(-1, 64), axis=1).view(np.uint64)[:, 0]


def _standardised(thumbnails: NDArray[np.float32]) -> NDArray[np.float32]:
    """Thumbnails as rows of mean 0 and length 1, so that a product is a correlation."""
    rows = thumbnails.reshape(len(thumbnails), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)
