"""For tests of runs that look at none of the pictures in the run's report."""

from __future__ import annotations

import pytest


@pytest.fixture
def quick_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each picture is drawn, but small, and its parts are not fitted to each other, which takes half of the time."""
    from search.reporting.plots import canvas  # late: matplotlib takes a second to import

    monkeypatch.setitem(canvas._STYLE, "figure.dpi", 40)
    monkeypatch.setitem(canvas._STYLE, "figure.constrained_layout.use", False)
