"""The words of the command, and the verbs that only read."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from conftest import Cli
from optuna.trial import TrialState, create_trial
from typer.main import get_command

from search.cli import app
from search.commands.steps.launch import same_command
from search.study.storage import open as storages

VERBS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined] # of many: a group


@pytest.fixture
def study() -> optuna.Study:
    """A study as the driver leaves it: one trial of each end."""
    study = optuna.create_study(storage=storages.connect("sqlite:///studies.db"), study_name="s", direction="maximize")
    study.set_user_attr("metric", "score")
    for number, value in enumerate((0.5, 0.75)):
        attrs = {"config": {"x": number}, "epoch": {"score": value}}
        study.add_trial(create_trial(value=value, user_attrs=attrs))
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"error": "no"}))
    return study


def test_every_command_and_option_has_help(cli: Any) -> None:
    status, overview, _ = cli("--help")
    assert status == 0
    assert "Exit status: 0 done; 1 the run failed; 2 the words" in overview
    assert {"run", "report", "export", "train"} <= set(VERBS)
    for verb, described in VERBS.items():
        assert described.help
        assert f"  {verb} " in overview
        status, out, _ = cli(verb, "--help")
        assert status == 0
        options = [option for option in described.params if option.opts[0].startswith("--")]
        for option in options:
            assert option.opts[0] in out
            assert option.help, option.name


def test_no_word_shows_the_help(cli: Any) -> None:
    status, out, err = cli()
    assert status == 2
    assert "Usage: search" in out + err


@pytest.mark.parametrize(
    "words", [["nonsense"], ["run"], ["run", "space.py", "--engine", "other"], ["export", "s", "-1"]]
)
def test_wrong_words_exit_with_2(cli: Any, words: list[str]) -> None:
    status, out, err = cli(*words)
    assert (status, out) == (2, "")
    assert "Traceback" not in err


@pytest.mark.parametrize("timeout", ["", "soon", "-5", "5d", "1h30m", "nan"])
def test_a_timeout_is_a_time(cli: Any, timeout: str) -> None:
    status, _, err = cli("run", "space.py", f"--timeout={timeout}")
    assert (status, err) == (2, f"search: --timeout {timeout}: write a time such as 90s, 30m or 2h\n")


def test_report_prints_the_table_and_writes_the_page(cli: Any, study: optuna.Study) -> None:
    status, out, err = cli("report", "s", "--reports", "here")
    assert (status, err) == (0, "")
    assert "| 1      | 1       | 0.75    | 1   |" in out
    assert out.endswith("\n\nwrote here/s.md\n")
    assert "- trial 2: no\n" in Path("here/s.md").read_text()


def test_export_writes_the_best_or_the_one_that_was_asked_for(cli: Any, study: optuna.Study) -> None:
    assert cli("export", "s") == (0, "wrote reports/s.best.yaml\n", "")
    assert cli("export", "s", "--trial", 0) == (0, "wrote reports/s.trial-0.yaml\n", "")
    for name, number, value in (("best", 1, 0.75), ("trial-0", 0, 0.5)):
        content = yaml.safe_load(Path(f"reports/s.{name}.yaml").read_text())
        assert (content["config"], content["trial"], content["value"]) == ({"x": number}, number, value)
    for number, problem in ((2, "is FAIL"), (3, "no trial 3")):
        status, _, err = cli("export", "s", "--trial", number)
        assert status == 2
        assert problem in err


def test_the_storage_may_come_from_the_environment(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    optuna.create_study(storage=storages.connect("sqlite:///other.db"), study_name="s")
    assert cli("report", "s").status == 2
    monkeypatch.setenv("SEARCH_STORAGE", "sqlite:///other.db")
    assert cli("report", "s").status == 0


def test_the_command_to_type_again_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["run", "my space.py", "--set", "frozen='a','b'"]
    monkeypatch.setattr(sys, "argv", ["/some/where/search", *words])
    assert shlex.split(same_command()) == ["search", *words]


def test_a_closed_pipe_is_no_traceback(study: optuna.Study) -> None:
    search = shlex.quote(str(Path(sys.executable).parent / "search"))
    line = f"{search} report s | true"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=240, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("text", ["", "G", "-1G", "many", "1e9"])
def test_no_size(cli: Cli, text: str) -> None:
    done = cli("run", "x.py", f"--cache-size={text}")
    assert done.status == 2
    assert done.err == f"search: --cache-size {text}: write a size such as 500M or 20G\n"
