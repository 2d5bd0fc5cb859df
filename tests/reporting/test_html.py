"""The page of one file: looked at in a browser as wide as a page of GitHub, where nothing can be loaded."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from browser import CHROMIUM, browsing
from conftest import SPACES
from optuna.trial import TrialState, create_trial

from search.analysis.view import StudyView
from search.reporting import html, page

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: this test did NOT run")
EVIL = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    """A browser for all tests of this file, each with a tab of its own."""
    with browsing() as tab:
        yield tab.context


@pytest.mark.whole
@needs_browser
def test_the_page_is_sorted_and_zoomed_without_a_network(once: Any, cli: Any, browser: BrowserContext) -> None:
    run = ("run", SPACES / "digits.py", "--engine", "inline", "--trials", 6, "--epochs", 2, "--subset", 200)
    assert once(*run, "--name", "six").status == 0
    status, out, err = cli("report", "six", "--html")
    assert (status, err) == (0, "")
    assert "wrote reports/six.html; it shows pictures of the data set" in out
    errors: list[str] = []
    asked: list[str] = []
    with browser.new_page() as tab:
        browser.set_offline(True)
        tab.set_viewport_size({"width": 1012, "height": 800})
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(Path("reports/six.html").absolute().as_uri())
        tab.locator(".js-plotly-plot .scatterlayer path.js-line").first.wait_for()
        assert tab.evaluate("document.documentElement.scrollWidth") <= 1012
        cut = "[...document.querySelectorAll('.table')].filter(frame => frame.scrollWidth > frame.clientWidth).length"
        assert tab.evaluate(cut) == 0
        assert tab.evaluate("[...document.images].every(image => image.naturalWidth > 100)")
        assert tab.evaluate("document.images.length") >= 3  # pictures, and the gallery

        rates = "[...document.querySelector('table').tBodies[0].rows].map(row => parseFloat(row.cells[%d].textContent))"
        heads = tab.locator("table").first.locator("th").all_inner_texts()
        place = heads.index("LR")
        for order in (sorted, lambda values: sorted(values, reverse=True)):
            tab.locator("table").first.get_by_role("button", name="LR").click()
            found = tab.evaluate(rates % place)
            assert found == order(found)

        span = "() => document.querySelector('.js-plotly-plot')._fullLayout.xaxis.range"
        before = tab.evaluate(span)
        plot = tab.locator(".js-plotly-plot .nsewdrag").first
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        assert box is not None
        tab.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.3 * box["height"])
        tab.mouse.down()
        tab.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.7 * box["height"], steps=5)
        tab.mouse.up()
        tab.wait_for_function(
            "before => document.querySelector('.js-plotly-plot')._fullLayout.xaxis.range[0] > before", arg=before[0]
        )
        link = tab.locator("td a").first.get_attribute("href")
        assert link is not None
        assert re.fullmatch(r"http://127\.0\.0\.1:8080/dashboard/studies/1/trials\?numbers=\d", link)
    assert not errors
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}


def evil_view() -> StudyView:
    study = optuna.create_study(study_name="evil", directions=["maximize", "minimize"])
    with warnings.catch_warnings(action="ignore"):  # the method is experimental
        study.set_metric_names([EVIL, "b</script>"])
    for place in range(3):
        params = {EVIL: 0.1 * place}
        study.add_trial(
            create_trial(
                values=[float(place), float(place)],
                params=params,
                distributions={EVIL: optuna.distributions.FloatDistribution(0, 1)},
                intermediate_values={1: 0.1, 2: float(place)},
                user_attrs={"config": params},
                state=TrialState.COMPLETE,
            )
        )
    return StudyView(study)


def test_the_users_names_stay_text(tmp_path: Path) -> None:
    view = evil_view()
    text = html.write(view, page.write(view, tmp_path)).read_text(encoding="utf-8")
    own = text.partition("<script>")[0] + text[text.rindex("const plots") :]
    assert "<img src=x" not in own
    assert own.count("</script>") == 1
    content = re.search(r"const plots = (\{.*\}), home", own)
    assert content is not None
    assert {*json.loads(content[1])} == {"curves", "front", "hypervolume"}


def test_each_panel_of_three_objectives_has_its_front_as_a_line(tmp_path: Path) -> None:
    study = optuna.create_study(study_name="three", directions=["maximize", "minimize", "minimize"])
    with warnings.catch_warnings(action="ignore"):  # the method is experimental
        study.set_metric_names(["acc", "mb", "ms"])
    for values in ((0.5, 1.0, 9.0), (0.6, 2.0, 3.0), (0.7, 4.0, 4.0), (0.4, 5.0, 5.0), (0.65, 3.0, 5.0)):
        study.add_trial(create_trial(values=values, user_attrs={"config": {}}))
    view = StudyView(study)
    assert "a line joins those that no other beats" in page.write(view, tmp_path).path.read_text(encoding="utf-8")
    plot = html._front(view)
    assert plot is not None
    found = {(line["name"], line["yaxis"]): [*zip(line["x"], line["y"], strict=True)] for line in plot["data"]}
    assert found["not beaten in the two", "y"] == [(0.5, 1.0), (0.6, 2.0), (0.65, 3.0), (0.7, 4.0)]
    assert found["not beaten in the two", "y2"] == [(0.6, 3.0), (0.7, 4.0)]
    assert found["not beaten in all", "y2"] == [(0.5, 9.0), (0.6, 3.0), (0.65, 5.0), (0.7, 4.0)]
    assert found["a completed trial", "y"] == [(0.4, 5.0)]


@needs_browser
def test_the_users_names_run_nothing(tmp_path: Path, browser: BrowserContext) -> None:
    view = evil_view()
    path = html.write(view, page.write(view, tmp_path))
    with browser.new_page() as tab:
        tab.goto(path.as_uri())
        tab.locator(".js-plotly-plot").nth(2).wait_for()
        assert tab.title() == "evil"


def test_data_and_a_page_at_once_is_one_line(cli: Any, write: Callable[[str, str], Path]) -> None:
    assert cli("report", "six", "--html", "--json").err == "search: --html writes a page; leave it out to print data\n"
