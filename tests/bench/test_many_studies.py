"""The bench of what learning from many studies takes."""

from __future__ import annotations

import optuna

from benchmarks import many_studies


def test_a_new_study_knows_its_points_each_time() -> None:
    many_studies.fill("sqlite:///studies.db", studies=2, trials=20)
    for _ in range(2):
        assert min(many_studies.seconds("sqlite:///studies.db")) > 0
    assert len(optuna.get_all_study_names("sqlite:///studies.db")) == 4
