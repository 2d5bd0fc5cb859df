"""What `search export --format` prints: a dict, a call, flags."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from commands.test_export import CONFIG, RAN_ON, SETTINGS
from conftest import Cli
from optuna.trial import create_trial

from search.study.storage.open import connect
from search.study.study import load_study


@pytest.mark.parametrize("config", [CONFIG, SETTINGS], ids=["built in", "of one's own"])
def test_the_printed_dict_is_the_config(cli: Cli, config: dict[str, Any]) -> None:
    stored(config)
    status, out, err = cli("export", "made", "--format", "dict")
    assert (status, err) == (0, "")
    assert eval(out) == config | ({"precision": "fp32"} if "precision" in config else {})  # noqa: S307 - what was printed
    assert not Path("reports").exists()


def test_the_printed_call_queues_the_same_trial(cli: Cli, write: Callable[[str, str], Path]) -> None:
    write(
        "own.py",
        """
        from search import Choice, Float, Int, SearchSpace

        space = SearchSpace(lr=Float(1e-9, 1, log=True), size=Choice(small=(1, 2), big=dict(depth=Int(1, 99))))
        metric = "score"


        def train(config):
            yield {"score": config["lr"]}
        """,
    )
    assert cli("run", "own.py", "--engine", "inline", "--trials", 4).status == 0
    for number in range(4):
        study = optuna.create_study()
        exec(cli("export", "own", "--format", "enqueue", "--trial", number).out, {"study": study})  # noqa: S102
        trial, first = study.ask(), load_study("sqlite:///studies.db", "own").trials[number]
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of a value that is out of range
            asked = {name: trial._suggest(name, distribution) for name, distribution in first.distributions.items()}
        assert asked == first.params
        assert asked


@pytest.mark.parametrize("config", [CONFIG | {"frozen": ["a", "b"], "nesterov": True}, SETTINGS])
def test_the_printed_flags_are_what_argparse_reads(cli: Cli, config: dict[str, Any]) -> None:
    stored(config)
    words = shlex.split(cli("export", "made", "--format", "argparse").out)
    parser = argparse.ArgumentParser()
    for name, value in config.items():
        if isinstance(value, bool):
            parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction)
        elif isinstance(value, list):
            parser.add_argument(f"--{name}", nargs="*", type=type(value[0]) if value else str)
        else:
            parser.add_argument(f"--{name}", type=str if value is None else type(value))
    read = vars(parser.parse_args(words))
    assert read == config | ({"precision": "fp32"} if "precision" in config else {})
    assert "None" not in words


def test_a_trial_without_parameters_and_one_that_is_not_there(cli: Cli) -> None:
    stored({})
    assert cli("export", "made", "--format", "dict").out == "{}\n"
    assert cli("export", "made", "--format", "enqueue").out == "study.enqueue_trial({})\n"
    assert cli("export", "made", "--format", "argparse").out == "\n"
    status, out, err = cli("export", "made", "--format", "dict", "--trial", 5)
    assert (status, out) == (2, "")
    assert "has no trial 5" in err


def stored(config: dict[str, Any]) -> None:
    """A study in the default storage with one trial of this config."""
    made = optuna.create_study(storage=connect("sqlite:///studies.db"), study_name="made", direction="maximize")
    attrs = {"config": config, "ran_on": RAN_ON}
    made.add_trial(create_trial(value=0.5, user_attrs=attrs))


HOSTILE: dict[str, Any] = {
    "plain": "a b",
    "a name": "it's $(touch pwned) `touch pwned` !! ; touch pwned #",
    "quotes": "\"'\\'\\",
    "lines": "one\ntouch pwned\n",
    "control": "\x1b[31mred\x07\t\x7f78",
    "unseen": "a\u202eb\xa0c\u200b",
    "umlaut": "ä猫🙂",
    "dash": "-x --y",
    "negative": -1e-05,
    "empty": "",
    "one": ["-q"],
    "many": [-1.5, 2.0],
    "none": [],
    "bytes": "caf\udce9",
    "parts": {"a": float("inf"), "b": [float("nan"), "\x1b"]},
}


@pytest.mark.parametrize("shell", [name for name in ("bash", "zsh") if shutil.which(name)])
def test_what_is_printed_can_be_pasted(cli: Cli, shell: str) -> None:
    config = {name: value for name, value in HOSTILE.items() if name != "parts"}
    stored(config)
    out = cli("export", "made", "--format", "argparse").out
    assert out.rstrip("\n").isprintable()
    done = subprocess.run([shell, "-c", f"printf '%s\\0' {out}"], capture_output=True, check=True)
    assert not Path("pwned").exists()
    words = [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]
    parser = argparse.ArgumentParser()
    for name, value in config.items():
        more = {"nargs": "*", "type": type([*value, ""][0])} if isinstance(value, list) else {"type": type(value)}
        parser.add_argument(f"--{name}", **more)
    assert vars(parser.parse_args(words)) == config


def test_what_is_printed_as_python_is_python(cli: Cli) -> None:
    stored(HOSTILE)
    out = cli("export", "made", "--format", "dict").out
    assert all(line.isprintable() for line in out.split("\n"))
    assert repr(eval(out)) == repr(HOSTILE)  # noqa: S307 - what was printed
    assert cli("export", "made").status == 0
    text = Path("reports/made.best.yaml").read_text(encoding="utf-8")
    assert all(line.isprintable() for line in text.split("\n"))
    assert repr(yaml.safe_load(text)["config"]) == repr(HOSTILE)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("a\0b", r"no shell takes 'a\x00b', in which there is a zero"),
        (["a", "-b"], "x has the value '-b', which argparse takes for an option"),
        ("\ud800", "surrogates not allowed"),
    ],
)
def test_what_cannot_be_pasted_is_refused(cli: Cli, value: Any, says: str) -> None:
    stored({"x": value})
    status, out, err = cli("export", "made", "--format", "argparse")
    assert (status, out) == (2, "")
    assert says in err
    assert err.endswith("; --format dict prints it\n")
