"""One part of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Section:
    """What a section's or a picture's `section(view)` makes."""

    text: str = ""
    """Markdown, its paragraphs apart by an empty line; of a picture the caption, in plain words."""
    title: str = ""
    """Its heading. A section without one stands under the table, and in the dashboard's note."""
    figure: Figure | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    """What `search report --json` has of it, under names that stay."""
    comment: bool = False
    """Whether its paragraphs are among the `comments` of `search report --json`."""
