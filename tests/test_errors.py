"""What errors say of themselves."""

from __future__ import annotations

import pytest

from search.errors import first_line, nearest, visible


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
