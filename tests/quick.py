"""What makes whole runs quicker where a test is about something else."""

from __future__ import annotations

from contextlib import suppress

import pytest


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report's pictures are small, and their parts not fitted to each other, which is half of a short run's time.

    Tests of reports have them as users do: tests/reporting/conftest.py.
    """
    with suppress(ImportError):  # a machine with a GPU may lack matplotlib
        from search.reporting.plots import canvas

        monkeypatch.setitem(canvas._STYLE, "figure.dpi", 40)
        monkeypatch.setitem(canvas._STYLE, "figure.constrained_layout.use", False)
