"""The data sets by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.data.registry import open_source
from search.errors import SearchError


def test_unknown_dataset_gets_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="unknown dataset 'caltech'; did you mean 'caltech101'"):
        open_source("caltech", tmp_path)
