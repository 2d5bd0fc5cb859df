"""Small real pictures, written by the tests that read them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def encoded(kind: str = "PNG", seed: int = 0, image: Image.Image | None = None, **options: Any) -> bytes:
    """A picture as bytes: noise of 12 x 10 px, or `image`."""
    if image is None:
        image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 12, 3), dtype=np.uint8))
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def lay_out(root: Path, counts: dict[str, int], kind: str = "png") -> Path:
    """Pictures 0, 1, ... in each folder below `root`, no two alike; returns `root`."""
    seed = 0
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            seed += 1
            (root / folder / f"{i}.{kind}").write_bytes(encoded("JPEG" if kind == "jpg" else kind.upper(), seed))
    return root
