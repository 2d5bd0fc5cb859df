"""Names, labels and reasons that are HTML, Markdown or links, in a real browser: nothing acts, the text is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, browsing
from served import served

pytestmark = [
    pytest.mark.whole,
    pytest.mark.usefixtures("sys_path"),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: this test did NOT run"),
]
ACTS = "<img src=x onerror='window.acted=1'><script>window.acted=1</script><svg onload='window.acted=1'>"
LINK = "[a](javascript:window.acted=1) <a href='javascript:window.acted=1'>b</a> **c**"
SPACE = f"""
import optuna
from search import Choice, Float, SearchSpace
ACTS, LINK = {ACTS!r}, {LINK!r}
kinds = Choice(f"l {{ACTS}}", f"m {{LINK}}")
space = SearchSpace(**{{"x": Float(0, 1), f"n {{ACTS}}": Float(0, 1), "kind": kinds}}, fixed=ACTS)
metric, direction, trials = f"metric {{ACTS}}", "maximize", 4
calls = []
def train(config):
    calls.append(1)
    yield {{metric: config["x"], f"e {{ACTS}}": LINK}}
    if len(calls) == 3:
        raise ValueError(f"why {{ACTS}} {{LINK}}")
    if len(calls) == 4:
        raise optuna.TrialPruned(f"pruned {{ACTS}} {{LINK}}")
    yield {{metric: config["x"]}}
"""
_ACTED = """() => [window.acted, ...[...document.querySelectorAll('*')].flatMap(element => [...element.attributes]
    .filter(one => /^on|^srcdoc$/.test(one.name) && /acted/.test(one.value) || /^\\s*javascript:/i.test(one.value))
    .map(one => one.name + '=' + one.value)), ...[...document.scripts].filter(one => /acted/.test(one.text))]
    .filter(Boolean)"""
"""What has run, and what would."""


def test_nothing_of_a_users_text_acts(cli: Any, write: Callable[[str, str], Path], tmp_path: Path) -> None:
    write("space.py", SPACE)
    assert cli("run", "space.py", "--engine", "inline").status == 0
    with served(tmp_path, "dashboard", "space", "--port", "0") as server, browsing() as page:
        study = server.address("space")
        for place, seen in (
            (study, [f"metric {ACTS}"]),
            (f"{study}/analytics", [f"EDF for metric {ACTS}"]),
            (f"{study}/note", [f"Best metric {ACTS}", f"m {LINK}"]),
            (f"{study}/trials?numbers=2", ["FAIL", f"why {ACTS} {LINK}"]),
            (f"{study}/trials?numbers=3", ["Pruned at epoch 1.", f"pruned {ACTS} {LINK}", f'"kind": "l {ACTS}"']),
        ):
            page.goto(place)
            for text in seen:
                page.get_by_text(text).first.wait_for()
            assert page.evaluate(_ACTED) == [], place
        page.set_content(ACTS + "<a href='javascript:window.acted=1'>b</a>")
        assert len(page.evaluate(_ACTED)) > 2  # it sees what acts
