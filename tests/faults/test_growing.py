"""A cluster that grows by what is asked of it, as Ray's own autoscaler has it, with nodes that are processes here."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live import BIN, Run, free_port, until

from search.engine.processes.scratch import scratch
from search.engine.ray import auth

GROWS: dict[str, Any] = {
    "cluster_name": "grows",
    "provider": {
        "type": "fake_multinode",
        "use_node_id_as_ip": True,  # they share one
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    },
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "worker": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 1, "max_workers": 2},
    },
    "max_workers": 2,
    "upscaling_speed": 1,
    "idle_timeout_minutes": 5,
    **{name: {} for name in ("auth", "docker", "file_mounts")},
    **{
        name: []
        for name in (
            "cluster_synced_files",
            "head_setup_commands",
            "head_start_ray_commands",
            "initialization_commands",
            "rsync_exclude",
            "rsync_filter",
            "setup_commands",
            "worker_setup_commands",
            "worker_start_ray_commands",
        )
    },
}
WAITS = """
    import time
    from search import Float, SearchSpace

    space = SearchSpace(x=Float(0, 1))
    metric, direction, trials = "x", "maximize", 4

    def train(config):
        time.sleep(1000)
        yield {"x": config["x"]}
"""


@pytest.fixture
def growing() -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a Ray with an autoscaler, that has one node and may start another, and what its clients need."""
    with scratch() as (folder, _):
        key = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(auth.new_token(folder))}
        address, apart = f"127.0.0.1:{free_port()}", ("dashboard-port", "dashboard-agent-listen-port")
        grows = GROWS | {"provider": GROWS["provider"] | {"gcs_address": address}}
        (folder / "grows.json").write_text(json.dumps(grows))
        words = [f"--port={address.rpartition(':')[2]}", *(f"--{option}={free_port()}" for option in apart)]
        words += ["--num-cpus=0", f"--autoscaling-config={folder}/grows.json", f"--temp-dir={folder}/ray"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [BIN / "ray", "start", "--head", "--block", "--disable-usage-stats", *words],
                env=os.environ | key | {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield address, key
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def workers(address: str, key: dict[str, str]) -> int:
    """How many nodes with room for trials the cluster has, by Ray's own word."""
    asked = [str(BIN / "ray"), "status", f"--address={address}"]
    said = subprocess.run(asked, env=os.environ | key, capture_output=True, text=True, check=False).stdout
    return sum(map(int, re.findall(r"^ (\d+) worker$", said.partition("Pending:")[0], re.MULTILINE)))


@pytest.mark.slow
def test_a_cluster_grows_while_trials_wait(growing: tuple[str, dict[str, str]], folder: Callable[[str], Path]) -> None:
    address, key = growing
    until(lambda: workers(address, key) == 1, "the first node")
    run = Run(folder(WAITS), "--address", address, **key)
    try:  # Ray's nodes share one folder here, which spoils what the second would train
        until(lambda: len(run.running()) == 1, "a trial on the only node")
        until(lambda: workers(address, key) == 2, "another node")
        until(lambda: len(run.running()) == 2 or run.trials()[1].state.is_finished(), "a trial on it")
    finally:
        print(run.output)
        run.end()
