"""The reference pages that are made from the code: ``python -m docs.generate`` writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from search.config import TrainConfig

DOCS = Path(__file__).parent


def settings() -> str:
    """The page of the trainer's settings, from the fields of TrainConfig."""
    rows = [
        f"| `{name}` | {'' if field.is_required() else f'`{field.get_default()!r}`'} | {field.description} |"
        for name, field in TrainConfig.model_fields.items()
    ]
    head = (
        "# Settings\n\nThese settings of the built-in training are the fields of `TrainConfig` in `search/config.py`.\n"
        "A setting without a default must stand in the space. [Techniques](techniques.md) says where each comes from.\n"
    )
    return "\n".join([head, "| setting | default | meaning |", "|---|---|---|", *rows]) + "\n"


PAGES: dict[str, Callable[[], str]] = {"reference/settings.md": settings}
"""Path in docs/ to the function that makes the page."""


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
