"""What a user reads of the nodes of a cluster that come and go."""

from __future__ import annotations

import pytest
from ray.exceptions import OutOfMemoryError

from search.engine.ray import nodes
from search.engine.ray.comings import Comings, Seen

A, B, C = Seen("10.0.0.1", 2), Seen("10.0.0.2", 4), Seen("10.0.0.3", 1)


def test_each_node_that_comes_or_goes_is_one_line_with_its_trials() -> None:
    said: list[str] = []
    comings = Comings(said.append)
    comings.look({"a": A, "b": B})
    comings.look({"a": A, "b": B})
    assert said == []
    for trial, node in {3: "b", 5: "b", 7: "b", 8: "b", 4: "a"}.items():
        comings.runs(trial, node)
    comings.ended(5)
    comings.lost(3)
    comings.runs(3, "a")
    comings.runs(8, "a")
    comings.look({"a": A})
    comings.look({"a": A, "c": C, "d": B})
    comings.look({"c": C, "d": B})
    comings.look({"d": B})
    comings.look({"d": B, "e": B})  # started again before the loss is noticed
    comings.runs(9, "d")
    comings.lost(9)
    comings.runs(9, "e")
    comings.ended(9)
    comings.look({"e": B})
    assert said == [
        "node 10.0.0.2 lost; trials 3 and 7 go back in the queue",
        "node 10.0.0.3 joined; trials that fit there: 1",
        "node 10.0.0.2 is back; trials that fit there: 4",
        "node 10.0.0.1 lost; trials 3, 4 and 8 go back in the queue",
        "node 10.0.0.3 lost; what ran there goes back in the queue",
        "node 10.0.0.2 is back; trials that fit there: 4",
        "node 10.0.0.2 lost; what ran there goes back in the queue",
    ]


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            "1 worker(s) were killed due to the node running low on memory.\nTop processes:\n"
            "Refer to the documentation on how to address the out of memory issue: https://docs.ray.io/",
            "Ray ended what ran there, because the machine is short of memory; ",
        ),
        ("The actor died.\nThe node was lost", "The node was lost"),
    ],
)
def test_what_ray_says_of_a_node_is_one_line(said: str, line: str) -> None:
    assert nodes.reason(OutOfMemoryError(said)).startswith(line)


def test_what_tune_wraps_of_rays_is_found_and_a_fault_of_ours_is_not_rays() -> None:
    short = OutOfMemoryError("1 worker(s) were killed due to the node running low on memory.")
    wrapped = RuntimeError(f"Caught unexpected exception: {short}")
    wrapped.__cause__ = short
    assert nodes.of_ray(wrapped) is short
    assert nodes.of_ray(RuntimeError("ours")) is None
