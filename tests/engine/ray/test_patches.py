"""What is changed of Ray, where no run shows it each time."""

from __future__ import annotations

import sys

import pytest
from ray.air.execution.resources.placement_group import PlacementGroupResourceManager
from ray.exceptions import GetTimeoutError

from search.engine.ray import patches


def test_what_a_dead_ray_held_is_given_up_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(manager: PlacementGroupResourceManager) -> None:
        raise GetTimeoutError("There was timeout in removing the placement group: GCS server is dead")

    said: list[type[BaseException]] = []
    monkeypatch.setattr(PlacementGroupResourceManager, "clear", dead)
    monkeypatch.setattr(sys, "unraisablehook", lambda error: said.append(error.exc_type))
    with patches.groups_given_up():
        manager = PlacementGroupResourceManager()
        del manager
    assert said == []
    manager = PlacementGroupResourceManager()
    del manager
    assert said == [GetTimeoutError]  # otherwise the patch is needed no more
