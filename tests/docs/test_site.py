"""The documents as a site: short pages, links that lead somewhere, reference pages equal to the code."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from live import BIN
from pages import PAGES, REPO

from docs import generate


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_short(page: str) -> None:
    limits = {"README.md": 150, "docs/reference/cli.md": 240}  # the last is made: as long as the options
    assert PAGES[page].count("\n") <= limits.get(page, 200)


@pytest.mark.parametrize("page", generate.PAGES)
def test_a_reference_page_is_what_the_code_says(page: str) -> None:
    assert PAGES[f"docs/{page}"] == generate.PAGES[page](), "`make docs` writes it anew"


def test_the_site_is_built_and_every_link_and_heading_is_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path],
        cwd=REPO,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for page in PAGES:
        folder = Path(page).with_suffix("")
        assert (tmp_path / ("" if page == "README.md" else folder) / "index.html").is_file(), page
