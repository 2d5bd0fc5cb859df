"""Debian's chromium, driven by playwright; and the screenshots of the documents: `make screenshots`."""

from __future__ import annotations

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


if __name__ == "__main__":
    screenshots("digits")
