"""What was read of a data set, what was left out, and what is doubtful, in lines for the screen and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from search.data.base import Source, Split
from search.data.cache import Images, cache_root
from search.data.folders.layout import counted, some
from search.data.reading.decoding import write_list
from search.format import plural


def lines(dataset: str, source: Source, read: Mapping[Split, Images]) -> list[str]:
    """`dataset` in one line, and one more for what a user should know beside.

    ``clothing: 10 classes, 3,068 + 341 + 372 images; left out: 10 .heic, 2 unreadable (list: ...)``; the images of
    training, validation and test, in this order. `read`: the splits that are decoded, training and validation at least.
    The test split stays closed: it has as many images as are listed and can be read.
    """
    train, said = read["train"], source.said()
    title = dataset.removeprefix("imagefolder:").rstrip("/").rpartition("/")[2] or dataset
    listed = dict(train.identity.images)
    listed["test"] = listed.get("test", 0) - len(train.unread)
    for name, found in read.items():
        listed[name] = len(found.labels)
    images = " + ".join(f"{listed.get(split, 0):,}" for split in ("train", "val", "test") if listed.get(split))
    left = counted(Counter(said.left_out))
    broken = [*dict.fromkeys(image for split in read.values() for image in (*split.broken, *split.unread))]
    if broken:
        where = write_list(source, broken, cache_root() / Path(train.key).parent)
        left += f"{', ' if left else ''}{len(broken):,} unreadable (list: {where})"
    first = f"{title}: {len(train.classes)} classes, {images} images{f'; left out: {left}' if left else ''}"
    notes = [*said.notes]
    if not listed.get("test"):
        notes.append("there is no test split")
    for split in ("val", "test"):
        if split in read:
            absent = np.setdiff1d(np.arange(len(train.classes)), read[split].labels)
            notes += [f"{split} has no picture of {some(train.classes[i] for i in absent)}"] if len(absent) else []
    remarks: Counter[str] = Counter()
    for split_ in read.values():
        remarks.update(split_.remarks)
    seen = "in training and validation"  # of the test split nothing is kept that tells
    notes += [f"{plural(count, 'image')} {remark}, {seen}" for remark, count in sorted(remarks.items())]
    return [first, *(f"{title}: {note}" for note in dict.fromkeys(notes))]
