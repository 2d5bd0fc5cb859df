"""Which data set it is: the same pictures have the same identity wherever they lie, and others have another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from search.data.base import Item, Split


class Identity(NamedTuple):
    """What tells a data set from others.

    `fingerprint`: 16 digits of a SHA-256 of the classes, the names and labels of all splits, and the content of every
    file of training and validation. The place of the files, their times, and what size they are decoded to, do not
    count. `classes`: in the order of the labels. `images`: the number of images of each split.
    """

    fingerprint: str
    classes: tuple[str, ...]
    images: Mapping[str, int]

    @classmethod
    def of(cls, classes: Iterable[str], images: Mapping[str, int], listing: str, contents: Sequence[str]) -> Identity:
        """`listing`: what `listing_of` says. `contents`: what `content_of` says of training and of validation."""
        names = tuple(classes)
        whole = json.dumps([names, dict(images), listing, *contents], sort_keys=True)
        return cls(hashlib.sha256(whole.encode()).hexdigest()[:16], names, dict(images))

    @classmethod
    def from_json(cls, stored: Any) -> Identity | None:
        """What `to_json` made; None if it is something else."""
        try:
            return cls(str(stored["fingerprint"]), tuple(stored["classes"]), dict(stored["images"]))
        except (TypeError, KeyError, ValueError):
            return None

    def to_json(self) -> dict[str, Any]:
        """As the study's attributes keep it."""
        return {"fingerprint": self.fingerprint, "classes": list(self.classes), "images": dict(self.images)}


NOWHERE = Identity("", (), {})
"""The identity of images that come from no data set."""


def listing_of(splits: Mapping[Split, Sequence[Item]]) -> str:
    """A SHA-256, in hex, of the names and labels of all images."""
    digest = hashlib.sha256()
    for split in sorted(splits):
        digest.update(json.dumps([split, *splits[split]]).encode())
    return digest.hexdigest()


def content_of(digests: Iterable[bytes]) -> str:
    """A SHA-256, in hex, of the digests of a split's files, in the order of its images."""
    return hashlib.sha256(b"".join(digests)).hexdigest()
