"""The live view in the output of a notebook's cell, which cannot be drawn over but replaced."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import StringIO
from typing import Any

from rich.console import Console, RenderableType

SECONDS = 0.25
"""Between two pictures."""
_FORMAT = '<progress value="{done}" max="{total}" style="width: 100%"></progress><pre style="{style}">{{code}}</pre>'
_STYLE = "white-space: pre; overflow-x: auto; line-height: normal"


class Cell:
    """A view that is shown in the cell that runs now."""

    def __init__(self, view: Callable[[], RenderableType], done: Callable[[], tuple[int, int]]) -> None:
        """`view` is drawn anew at each update; `done`: how many trials are done, and of how many."""
        from IPython.display import display

        self._view, self._done, self._next = view, done, 0.0
        self._handle: Any = display({"text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call] # untyped

    def update(self, now: bool = False) -> None:
        """Draw the view, `now` or if the last time is long enough ago."""
        if not now and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SECONDS
        done, total = self._done()
        paper = Console(record=True, file=StringIO(), width=110, force_jupyter=False)
        paper.print(self._view())
        plain = paper.export_text(clear=False)
        page = paper.export_html(inline_styles=True, code_format=_FORMAT.format(done=done, total=total, style=_STYLE))
        self._handle.update({"text/html": page, "text/plain": plain}, raw=True)
