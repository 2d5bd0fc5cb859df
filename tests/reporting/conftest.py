"""Reports as their readers see them."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def small_pictures() -> None:
    """The pictures are as large, and as well laid out, as a user's."""
