"""What makes the tests quicker: their order, and blank pictures where a test is about something else."""

from __future__ import annotations

from contextlib import suppress

import pytest

DRAWN = {"reporting", "doctor"}
"""Folders of tests whose pictures are drawn."""


@pytest.fixture(autouse=True)
def blank_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report's pictures are made and left blank: to draw them is a sixth of a short run's time.

    They are drawn in the tests of reports, in whole runs, and by every run in a process of its own.
    """
    with suppress(ImportError):  # a machine with a GPU may lack matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        if not DRAWN & {*request.path.parts} and not request.node.get_closest_marker("whole"):
            monkeypatch.setattr(FigureCanvasAgg, "draw", FigureCanvasAgg.get_renderer)


WAITING = ("soak", "whole")
"""Marks of tests that wait for processes of theirs; those of the first take longest."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for processes comes first, so that the other workers have something to do all the while."""
    items.sort(key=lambda item: [item.get_closest_marker(mark) is None for mark in WAITING])
