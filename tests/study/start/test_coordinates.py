"""Settings as coordinates: what counts as near, and what says nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.config import make_config
from search.study.start.coordinates import Place, nearness, place_of, units_of

STEP = dict(model="cnn", dataset="digits", epochs=10, batch_size=64, lr=0.1, momentum=0.9, step_size=3, gamma=0.1)


def place(**settings: Any) -> dict[str, float | str]:
    return place_of(dict(make_config(STEP | settings)))


def test_sgds_rate_is_that_of_a_step_in_the_long_run() -> None:
    assert place(lr=0.1, momentum=0.9)["sgd rate"] == pytest.approx(0.0)
    assert place(lr=0.01, momentum=0.99)["sgd rate"] == pytest.approx(0.0)
    assert place(lr=0.01, momentum=0.99)["averaging"] == pytest.approx(-2.0)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adams_rate_is_none_of_sgds_and_knows_no_momentum(optimizer: str) -> None:
    found = place(optimizer=optimizer, lr=0.001)
    assert found["adam rate"] == pytest.approx(-3.0)
    assert not {"sgd rate", "averaging", "lr", "momentum"} & found.keys()


def test_a_step_schedule_is_when_it_decays_first_and_by_how_much_in_all() -> None:
    found = place(epochs=10, step_size=3, gamma=0.1)  # after epochs 3, 6 and 9
    assert found["first decay"] == pytest.approx(0.3)
    assert found["whole decay"] == pytest.approx(-3.0)
    assert place(epochs=20, step_size=6, gamma=0.1)["first decay"] == found["first decay"]
    assert place(step_size=50)["whole decay"] == 0
    assert not {"first decay", "whole decay"} & place(schedule="cosine", warmup_epochs=2.0).keys()
    assert place(schedule="cosine", warmup_epochs=2.0)["warm-up"] == pytest.approx(0.2)


def test_no_weight_decay_is_a_place_too_and_seeds_and_lengths_are_none() -> None:
    assert place(weight_decay=0.0)["weight decay"] == place(weight_decay=1e-9)["weight decay"] == -8
    assert place(seed=3, precision="fp32", subset=100) == place()


def test_settings_of_ones_own_are_as_they_are_and_in_powers_where_they_are_searched_so() -> None:
    found = place_of({"alpha": 0.01, "depth": 3, "kind": "odd", "wide": True, "none": None}, ["alpha"])
    assert found == {"alpha": -2.0, "depth": 3.0, "kind": "odd", "wide": "True", "none": "None"}


def test_only_what_differs_has_a_unit_and_a_text_has_none() -> None:
    places: list[Place] = [{"a": 0.0, "b": 1.0, "k": "x", "same": 3.0}, {"a": 4.0, "b": 1.0, "k": "y", "same": 3.0}]
    assert units_of(places) == {"a": 0.5, "k": 0.0}
    assert units_of([{"a": 1.0}, {"b": 1.0}]).keys() == {"a", "b"}  # of two branches
    assert units_of([]) == {}


numbers = st.floats(-5, 5)


@given(st.lists(st.fixed_dictionaries({"a": numbers, "k": st.sampled_from("xyz")}), min_size=1, max_size=6))
def test_nearness_is_one_at_the_same_place_symmetric_and_between_nothing_and_one(places: list[Any]) -> None:
    near = nearness(places, places, {"a": 1.0, "k": 0.0})
    assert np.allclose(np.diag(near), 1)
    assert np.allclose(near, near.T)
    assert ((near >= 0) & (near <= 1)).all()


def test_a_unit_apart_is_as_far_as_another_text_or_a_coordinate_that_one_has_not() -> None:
    unit = math.exp(-0.5)
    assert nearness([{"a": 0.0}], [{"a": 2.0}], {"a": 2.0})[0, 0] == pytest.approx(unit)
    assert nearness([{"k": "x"}], [{"k": "y"}], {"k": 0.0})[0, 0] == pytest.approx(unit)
    assert nearness([{"a": 0.0}], [{}], {"a": 2.0})[0, 0] == pytest.approx(unit)
    assert nearness([{}], [{}], {"a": 2.0})[0, 0] == 1
