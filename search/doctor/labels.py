"""Do the labels say anything about the images?"""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray

from search.data.cache import Images
from search.doctor.case import Case, Finding
from search.doctor.duplicates import thumbnails
from search.train.learner import Learner

ALPHA = 0.001
"""Of labels that are shuffled, so many pass by accident, in each of two tests."""
FEW = 100
"""Validation images below which a miss says little."""
TRAIN, VAL, SIDE = 5000, 1000, 16
SECONDS = 15.0


def check(case: Case) -> Finding:
    """Test whether validation labels can be told from the images better than by chance.

    First by the nearest training image in grey pixels (16 x 16), then, if that fails, by the model itself after a
    short training. Chance is what the same guesses reach if the labels do not depend on the images, given how
    often each class is guessed and stands there; the test is the exact binomial one, at ALPHA.
    """
    train, val = case.images()
    guesses, labels = _nearest(train, val)
    seen, better = _against_chance("the nearest image in pixels", guesses, labels)
    if better:
        return Finding("ok", "labels", seen)
    learner = case.plain_learner(3e-4)
    guesses, labels, steps = _short_training(learner, case)
    also, better = _against_chance(f"the model after {steps} steps", guesses, labels)
    if better:
        return Finding("ok", "labels", f"{seen}; {also}")
    if len(labels) < FEW:
        return Finding("warn", "labels", f"{seen}; {also}", "too few validation images to tell: look at images.png")
    remedy = (
        "the labels say nothing about the images: are they shuffled? Look at images.png, and at how labels are made"
    )
    return Finding("FAIL", "labels", f"{seen}; {also}", remedy)


def _against_chance(who: str, guesses: NDArray[np.int64], labels: NDArray[np.int64]) -> tuple[str, bool]:
    """What to say of `guesses`, and whether they are better than chance."""
    from scipy.stats import binomtest  # late: it takes a while to import

    hits, total = int((guesses == labels).sum()), len(labels)
    count = int(max(guesses.max(), labels.max())) + 1
    share = np.bincount(guesses, minlength=count) @ np.bincount(labels, minlength=count) / total**2
    p = float(binomtest(hits, total, min(float(share), 1.0), alternative="greater").pvalue)
    text = f"p = {p:.2g}" if p >= 1e-9 else "p < 1e-9"
    return f"{who} names {hits / total:.1%} of {total} validation labels, chance {share:.1%}, {text}", p < ALPHA


def _some(images: Images, count: int) -> Images:
    """`count` of the images at random, always the same ones, or all."""
    rows = np.sort(np.random.RandomState(0).permutation(len(images.labels))[:count])
    if len(rows) == len(images.labels):
        return images
    names = tuple(images.names[row] for row in rows)
    pixels, labels = images.pixels[rows], images.labels[rows]
    return images._replace(pixels=pixels, labels=labels, names=names, key=f"{count} of {images.key}")


def _nearest(train: Images, val: Images) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For some validation images the label of the nearest training image, and their own."""
    from sklearn.neighbors import KNeighborsClassifier  # late: it takes seconds to import

    end = time.monotonic() + SECONDS
    known, rows, _ = thumbnails(_some(train, TRAIN), end, SIDE)
    asked, others, _ = thumbnails(_some(val, VAL), end, SIDE)
    if not len(known) or not len(asked):  # not one image shows anything
        return np.zeros(1, np.int64), np.ones(1, np.int64)
    model = KNeighborsClassifier(1).fit(known.reshape(len(known), -1), _some(train, TRAIN).labels[rows])
    return np.asarray(model.predict(asked.reshape(len(asked), -1))), _some(val, VAL).labels[others]


def _short_training(learner: Learner, case: Case) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Train for SECONDS or five epochs; guesses and labels of some validation images, and the steps taken."""
    end, steps = time.monotonic() + SECONDS, 0
    learner.begin(1)
    for _ in range(5):
        for index in case.order().split(32):
            if time.monotonic() > end:
                break
            learner.step(index)
            steps += 1
    val = case.data()[1]
    rows = torch.from_numpy(np.sort(np.random.RandomState(0).permutation(len(val))[:VAL]))
    learner.model.eval()
    guesses = []
    with torch.no_grad(), case.runtime.autocast():
        for index in rows.split(64):
            guesses.append(learner.model(val.batch(index, case.runtime.memory_format)[0]).argmax(1).cpu())
    return torch.cat(guesses).numpy(), val.labels.cpu()[rows].numpy(), steps
