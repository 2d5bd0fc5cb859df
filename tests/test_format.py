"""Numbers and times as text."""

from __future__ import annotations

from typing import Any

import pytest

from search import format


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0123456, "0.01235"),
        (1e-06, "1e-06"),
        (0.1, "0.1"),
        (30, "30"),
        (1234567, "1234567"),
        (2**128 + 1, "340282366920938463463374607431768211457"),
        (12834.6, "12835"),
        (-9999.7, "-10000"),
        (9999.2, "9999"),
        (1234567.0, "1.235e+06"),
        (None, ""),
        (True, "True"),
        ("a|b\nc", "a|b\nc"),
        (float("nan"), "nan"),
    ],
)
def test_number(value: Any, text: str) -> None:
    assert format.format_number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (8.3, "8.3 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert format.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.94056, "0.9406"),
        (0.0, "0.0000"),
        (1e-9, "1e-09"),
        (-0.00012345, "-0.0001234"),
        (1e300, "1e+300"),
        (12345.678, "12345.6780"),
    ],
)
def test_a_measurement_of_any_size(value: float, text: str) -> None:
    assert format.measured(value) == text


def test_a_noun_has_an_s_unless_there_is_one() -> None:
    said = [format.plural(count, "trial", verb) for count in (0, 1, 2, 3068) for verb in ("", "is", "was")]
    assert said == [
        *("0 trials", "0 trials are", "0 trials were", "1 trial", "1 trial is", "1 trial was"),
        *("2 trials", "2 trials are", "2 trials were", "3,068 trials", "3,068 trials are", "3,068 trials were"),
    ]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["features"], "features"),
        (["b.0", "b.1"], "b.0, b.1"),
        (["stem", "b.9", "b.10", "b.11", "head"], "stem, b.9 to 11, head"),
        (["b.0", "c.1", "c.2", "c.3", "b.4"], "b.0, c.1 to 3, b.4"),
        (["b.3", "b.2", "b.1"], "b.3, b.2, b.1"),
        (["b.00", "b.01", "b.02"], "b.00, b.01, b.02"),
    ],
)
def test_layers_in_a_row_are_said_in_few_words(names: list[str], text: str) -> None:
    assert format.layers(names) == text
