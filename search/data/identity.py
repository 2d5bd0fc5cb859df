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
    count. `classes`: in the order of the labels. `images`: the number of images of each split. `test`: 16 digits of a
    SHA-256 of the content of every file of the test split, which need not be decoded for it; empty where there is none,
    or an older version did not know it.
    """

    fingerprint: str
    classes: tuple[str, ...]
    images: Mapping[str, int]
    test: str = ""

    @classmethod
    def of(
        cls, classes: Iterable[str], images: Mapping[str, int], listing: str, contents: Sequence[str], test: str
    ) -> Identity:
        """`listing`: what `listing_of` says. `contents` of training and validation, `test`: what `content_of` says."""
        names = tuple(classes)
        whole = json.dumps([names, dict(images), listing, *contents], sort_keys=True)
        return cls(hashlib.sha256(whole.encode()).hexdigest()[:16], names, dict(images), test[:16])

    @classmethod
    def from_json(cls, stored: Any) -> Identity | None:
        """What `to_json` made; None if it is something else."""
        try:
            known = (str(stored["fingerprint"]), tuple(stored["classes"]), dict(stored["images"]))
            return cls(*known, str(stored.get("test", "")))
        except (AttributeError, TypeError, KeyError, ValueError):
            return None

    def to_json(self) -> dict[str, Any]:
        """As the study's attributes keep it."""
        kept = {"fingerprint": self.fingerprint, "classes": list(self.classes), "images": dict(self.images)}
        return kept | ({"test": self.test} if self.test else {})

    def is_other(self, than: Identity) -> bool:
        """Whether it is of other images; an identity without `test` says nothing of the test split."""
        if self.fingerprint != than.fingerprint:
            return True
        return bool(self.test and than.test) and self.test != than.test


NOWHERE = Identity("", (), {})
"""The identity of images that come from no data set."""


def listing_of(splits: Mapping[Split, Sequence[Item]]) -> str:
    """A SHA-256, in hex, of the names and labels of all images."""
    digest = hashlib.sha256()
    for split in sorted(splits):
        digest.update(json.dumps([split, *splits[split]]).encode())
    return digest.hexdigest()


def content_of(digests: Iterable[bytes]) -> str:
    """A SHA-256, in hex, of the digests of a split's files, in the order of its images; of no images, nothing."""
    whole = b"".join(digests)
    return hashlib.sha256(whole).hexdigest() if whole else ""
