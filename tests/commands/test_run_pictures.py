"""A user's own pictures from `search run` to a report: the first lines, what is left out, no test split."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Cli
from pictures import lay_out
from rich.console import Console

from search.commands.steps import launch

SPACE = """
from search import Float, SearchSpace

space = SearchSpace(
    dataset="imagefolder:pets", model="mlp", hidden=(4,), epochs=1, schedule="constant", lr=Float(1e-3, 0.1, log=True)
)
"""


@pytest.mark.usefixtures("sys_path", "one_thread")
def test_a_run_says_what_it_read_and_what_it_left_out(cli: Cli, tmp_path: Path) -> None:
    home = lay_out(tmp_path / "data" / "pets", {f"{part}/{label}": 4 for part in ("Train", "Valid") for label in "ab"})
    (home / "Train" / "a" / "0.heic").write_bytes(b"x")
    (home / "Train" / "b" / "1.png").write_bytes(b"")
    Path("s.py").write_text(SPACE)
    words = ("run", "s.py", "--engine", "inline", "--trials", 1)
    refused = cli(*words)
    assert refused.status == 2
    assert "Train/b/1.png: the image cannot be read: the file is empty" in refused.err
    assert refused.err.strip().endswith("leave it out with --skip-broken")
    done = cli(*words, "--skip-broken")
    assert done.status == 0, done
    first = "pets: 2 classes, 7 + 8 images; left out: 1 .heic, 1 unreadable (list: "
    assert first in done.out
    assert "pets: there is no test split\n" in done.out
    assert "without a test split, nothing is evaluated in the end, as with --sealed\n" in done.out
    assert "could not be evaluated" not in done.out
    report = (tmp_path / "reports" / "s.md").read_text()
    assert "## Images" in report
    assert first in report
    trained = cli("train", "reports/s.best.yaml", "--skip-broken")
    assert trained.status == 0, trained
    assert "pets: there is no test split\n" in trained.out
    assert "not evaluated: " in trained.out
    assert "--sealed" not in trained.out  # which it does not know


def test_a_line_now_and_then_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "LINE_EVERY", 0.0)
    launch.wait(lambda advance: advance("pets", 2560, 60000), Console(), "decoding ")
    assert capsys.readouterr().out == "decoding pets: 2,560 of 60,000 images\n"
