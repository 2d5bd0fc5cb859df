"""Debian's chromium, driven by playwright; and the screenshots of the documents: `make screenshots`."""

from __future__ import annotations

import io
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from served import served

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_DOCS = Path(__file__).resolve().parent.parent / "docs"


@contextmanager
def browsing() -> Iterator[Page]:
    """An empty tab of a browser without a window, with a profile of its own."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, headless=True, args=_FLAGS, viewport={"width": 1280, "height": 720}
        )
        browser.set_default_timeout(60_000)  # of a busy machine
        try:
            yield browser.pages[0]
        finally:
            browser.close()


def screenshots(study: str) -> None:
    """Write docs/dashboard.png and docs/tensorboard.png, of a study of the working directory."""
    with served(Path.cwd(), "dashboard", study, "--port", "0", "--tensorboard") as server, browsing() as page:
        page.goto(server.address(study))
        page.get_by_text("Hyperparameter Importance").first.wait_for()
        page.wait_for_timeout(2000)  # the plots draw themselves in
        page.set_viewport_size({"width": 1280, "height": 1000})
        page.wait_for_timeout(1000)
        page.screenshot(path=_DOCS / "dashboard.png")
        page.goto(f"{server.address('TensorBoard')}?runFilter={study}/.*trial&tagFilter=val_#timeseries")
        page.get_by_text("val_acc").first.wait_for()
        page.get_by_role("button", name="Settings").last.click()  # closes what covers a quarter
        page.wait_for_timeout(4000)
        page.screenshot(path=_DOCS / "tensorboard.png")


def report_pictures(study: str) -> None:
    """Write docs/report-page.png, as wide as a page of GitHub, and docs/report-terminal.svg, of 100 columns.

    The first is the page's top: tables and curves, and nothing of the gallery.
    """
    from rich.console import Console

    from search.analysis.view import StudyView
    from search.reporting import html, page, table
    from search.study.study import load_study

    view = StudyView(load_study("sqlite:///studies.db", study))
    path = html.write(view, page.write(view, Path("reports")))
    with browsing() as tab:
        tab.set_viewport_size({"width": 1012, "height": 1600})
        tab.goto(path.absolute().as_uri())
        tab.locator(".js-plotly-plot .scatterlayer path.js-line").first.wait_for()
        gallery = tab.get_by_role("heading", name="Gallery of mistakes").bounding_box()
        assert gallery is None or gallery["y"] > 1600
        tab.screenshot(path=_DOCS / "report-page.png")
    console = Console(width=100, record=True, highlight=False, file=io.StringIO())
    console.print(f"$ search report {study}")
    ranking = table.ranking(view)
    console.print(ranking.words, markup=False)
    console.print()
    console.print(ranking.terminal(100))
    drawn = console.export_svg(title=f"search report {study}")
    fonts = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # which would be loaded from elsewhere
    (_DOCS / "report-terminal.svg").write_text(fonts.sub("", drawn), encoding="utf-8")


if __name__ == "__main__":
    screenshots("digits")
    report_pictures("digits")
