"""A grid of training images with their labels, as the model sees them, for a person to look at."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from search.config import TrainConfig
from search.data.augment import make_augment
from search.doctor.case import Case, Finding, spread
from search.files.atomic import write_whole

COUNT = 24


MEANS = ("class_weights", "sampler", "focal_gamma")
UNEVEN = 10
"""How many times the largest class may be the smallest before a remedy is named."""


def evenness(case: Case, others: Iterable[TrainConfig] = ()) -> Finding:
    """How uneven the classes of the training split are, and what to try; `others`: further configs of the space."""
    data, configs = case.data()[0], [case.config, *others]
    count = np.bincount(data.labels.cpu().numpy(), minlength=len(data.classes))
    most, least = int(count.argmax()), int(count.argmin())
    seen = (
        f"{len(count)} classes of {count[least]:,} ({data.classes[least]}) to {count[most]:,} ({data.classes[most]}) "
        f"training images, median {int(np.median(count)):,}"
    )
    if count[most] < UNEVEN * count[least]:
        even = f"{len(count)} classes of {count[most]:,} training images each"
        return Finding("ok", "classes", even if count[most] == count[least] else seen)
    met = [name for name in MEANS if any(getattr(c, name) != TrainConfig.model_fields[name].default for c in configs)]
    if met:
        return Finding("ok", "classes", f"{seen}; met by {', '.join(met)}")
    share = count[most] / count.sum()
    remedy = (
        f"who calls all {data.classes[most]} has an accuracy of {share:.1%}: try "
        "class_weights=Choice('none', 'effective'), sampler='balanced' or focal_gamma, "
        "and rank by metric = 'val_balanced_acc' or 'val_f1'"
    )
    return Finding("warn", "classes", seen, remedy)


def check(case: Case) -> Finding:
    """Write images.png: COUNT images of the training split, cropped, augmented and labelled as in training."""
    from matplotlib.figure import Figure  # late: it takes a while to import

    data = case.data()[0]
    rows = spread(data.labels.cpu().numpy(), COUNT)
    noise = torch.Generator().manual_seed(case.config.seed)
    augment = make_augment(case.config.augment, noise)
    x, y = data.batch(torch.tensor(rows), torch.contiguous_format, augment)
    pixels = x.cpu() * torch.tensor(data.spec.std).view(-1, 1, 1) + torch.tensor(data.spec.mean).view(-1, 1, 1)
    images: Any = pixels.clamp(0, 1).permute(0, 2, 3, 1).numpy()
    figure = Figure(figsize=(12, 9), dpi=80, layout="constrained")
    axes: Any = figure.subplots(4, 6)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, label in zip(axes.flat, images, y.tolist(), strict=False):
        axis.imshow(np.squeeze(image), cmap="gray", vmin=0, vmax=1)
        axis.set_title(data.classes[label].replace("$", r"\$")[:24], fontsize=10)
    path = case.folder / "images.png"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a class name in a script that the font has not
        write_whole(path, lambda part: figure.savefig(part, format="png"))
    flat = int((np.ptp(images, axis=(1, 2)).max(axis=1) < 1e-3).sum())
    if flat:
        seen = f"{flat} of {len(images)} training images are of one colour: {path}"
        return Finding("warn", "images", seen, "look at them, and at how the files are read")
    side = f"{data.size[0]} x {data.size[1]} px"
    return Finding(
        "ok", "images", f"{len(images)} training images of {side} with their labels, for you to look at: {path}"
    )
