"""A program of the same machine that has not the token crashes a run's Ray: the run goes on, and blames no trial."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import grpc
import pytest
from live import WAIT, Run, listening_ports, until
from optuna.trial import TrialState

SPACE = """
    import time
    from pathlib import Path
    from search import Float, SearchSpace

    space = SearchSpace(x=Float(0, 1))
    metric, direction, trials = "x", "maximize", 2

    def train(config):
        for epoch in range(3):
            yield {"x": config["x"]}
            while not (Path(__file__).parent / "go").exists():
                time.sleep(0.1)
"""


def ports(run: Run) -> set[int]:
    """The ports at which raylets of the run listen."""
    raylets = {pid for pid, words in run.alive().items() if words.split()[:1] and words.split()[0].endswith("/raylet")}
    return listening_ports(raylets)


def elsewhere(run: Run, before: set[int]) -> bool:
    return bool(ports(run)) and not ports(run) & before


@pytest.mark.slow
def test_a_stranger_ends_no_run_and_fails_no_trial(folder: Callable[[str], Path]) -> None:
    path = folder(SPACE)
    run = Run(path, "--engine", "tune")
    try:
        for _ in range(4):  # more often than Ray may break down by itself
            until(lambda: len([t for t in run.running() if t.intermediate_values]) == 2, "both trials")
            before = ports(run)
            for port in before:
                with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, contextlib.suppress(grpc.RpcError):
                    list(channel.stream_stream("/ray.rpc.syncer.RaySyncer/StartSync")(iter([b""]), timeout=5))
            until(partial(elsewhere, run, before), "another Ray")
        (path / "go").touch()
        assert run.process.wait(WAIT) == 0, run.output
        trials = run.trials()
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
        assert [trial.user_attrs.get("attempts") for trial in trials] == [None, None]
        assert run.output.count("a program without this Ray's token has crashed it") == 1
        assert "StackTrace" not in run.output
    finally:
        print(run.output)
        run.end()
