"""The example notebook, run by Jupyter's own client; its stop button; and functions of a script."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import REPO
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

import search

pytestmark = pytest.mark.whole

OWN = """
import time, search
def train(config):
    for _ in range(50):
        time.sleep(0.2)
        yield {"score": config["x"]}
search.run(search.SearchSpace(x=search.Float(0, 1)), train=train, metric="score", name="stopped", trials=3,
           engine="inline")
"""
SCRIPT = """
import search, optuna
def space(trial):
    return {"x": trial.suggest_float("x", 0, 1)}
def train(config):
    yield {"loss": OFFSET - config["x"]}
OFFSET = 2
again = dict(train=train, metric="loss", name="a b", sampler=optuna.samplers.RandomSampler(seed=1))
search.run(space, trials=2, engine="inline", **again)
study = search.run(space, trials=3, **again)
print(study.direction.name, [2 - t.params["x"] == t.value for t in study.trials], isinstance(study, optuna.Study))
try:
    search.run("space.py", train=train)
except search.SearchError as error:
    print(error)
"""


def test_the_example_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook: Any = nbformat.read(REPO / "examples" / "own_training.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    assert all(not cell.get("outputs") for cell in notebook.cells)  # no picture of data is committed
    (run,) = (cell for cell in notebook.cells if "search.run(" in cell.source)
    run.source = run.source.replace("epochs=8", "epochs=2").replace("trials=8", "trials=3")
    folder = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources=folder).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown: list[dict[str, Any]] = [dict(output.get("data", {})) for output in outputs]
    bars = [data for data in shown if "<progress" in data.get("text/html", "")]
    assert len(bars) == 1
    assert '<progress value="3" max="3"' in bars[0]["text/html"]
    assert "notebook: 3 of 3 trials done" in bars[0]["text/plain"]
    assert "image/png" in shown[-1]
    said = [output.get("text", "") for output in outputs if output.output_type == "stream"]
    assert len(said) == 1  # no warning, and nothing of Ray's
    same, _, table = said[0].lstrip().partition("\n\n")
    assert same.startswith("The same in all rows: epochs 2")
    assert table.startswith("| Rank ")


def test_the_stop_button_ends_the_run_in_order(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'studies.db'}"
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path))
    client: BlockingKernelClient = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=240)
        asked = client.execute(OWN)
        end = time.monotonic() + 240
        while not _trains(storage):
            assert time.monotonic() < end
            time.sleep(0.2)
        manager.interrupt_kernel()
        while (message := client.get_shell_msg(timeout=240))["parent_header"]["msg_id"] != asked:
            pass  # a slow kernel is asked more than once whether it is ready
        reply = message["content"]
        assert (reply["status"], reply["ename"]) == ("error", "Interrupted")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    (trial,) = search.load_study("stopped", storage=storage).trials
    assert trial.state.name == "WAITING"


def _trains(storage: str) -> bool:
    if not Path(storage.removeprefix("sqlite:///")).is_file():
        return False
    try:
        return bool(search.load_study("stopped", storage=storage).trials[0].intermediate_values)
    except (search.SearchError, IndexError):
        return False


def test_a_script_hands_over_its_functions(tmp_path: Path) -> None:
    """Of its three trials, two run inline and one in Ray."""
    (tmp_path / "main.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-2:] == [
        "MINIMIZE [True, True, True] True",
        "train= is for a space that is in no file; say it in space.py",
    ]
