"""What errors say of themselves."""

from __future__ import annotations

import pytest

from search.errors import COMMAND_LINE, first_line, flag, nearest, option, spelling, visible


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  one  \ntwo"), "one  "),
        (ValueError(), "no message"),
        (ValueError(" \n "), "no message"),
        (SystemExit("leaving"), "leaving"),
    ],
    ids=repr,
)
def test_an_error_in_one_line(error: BaseException, line: str) -> None:
    assert first_line(error) == line


def test_after_an_unknown_name_comes_the_nearest_or_the_list() -> None:
    assert nearest("resnet19", {"resnet18", "alexnet"}) == "; did you mean 'resnet18'?"
    assert nearest("x", {"resnet18", "alexnet"}) == "; known are alexnet, resnet18"


def test_what_a_terminal_would_obey_is_shown() -> None:
    assert visible("a\nb\x1b[31m\u2028\udcff") == r"a\nb\x1b[31m\u2028\udcff"
    assert visible("Größe 🙂 'x' \\") == "Größe 🙂 'x' \\"


@pytest.mark.parametrize(
    ("words", "typed", "called"),
    [
        (("run_dir",), "--run-dir", "run_dir="),
        (("run_dir", "s3://b/x"), "--run-dir s3://b/x", "run_dir=s3://b/x"),
        (("trials", 0), "--trials 0", "trials=0"),
        (("source",), "--from", "source="),
        (("folder", "x"), "--in x", "folder=x"),
        (("set",), "--set", "set="),
        (("set", "lr=0.1"), "--set lr=0.1", "set={'lr': '0.1'}"),
        (("set", "a=b=c"), "--set a=b=c", "set={'a': 'b=c'}"),
    ],
)
def test_an_option_is_spelled_as_the_caller_wrote_it(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], typed: str, called: str
) -> None:
    monkeypatch.delenv(COMMAND_LINE, raising=False)
    assert (option(*words), spelling()) == (called, {})
    monkeypatch.setenv(COMMAND_LINE, "1")
    assert (option(*words), spelling()) == (typed, {COMMAND_LINE: "1"})
    assert typed.startswith(flag(words[0]))
