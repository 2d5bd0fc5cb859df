"""What every step of the kit uses: where it works, what it says, and commands with a time limit."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
SPACES = Path(__file__).resolve().parent / "spaces"
SEARCH = ("-c", "import sys; from search.cli import main; sys.argv[0] = 'search'; main()")


@dataclass
class Kit:
    """One of the two commands on its machine."""

    home: Path
    """Where packages, images and studies lie."""
    out: Path
    """What is to be carried back: log.txt, results.jsonl, smi.csv and profile.txt."""
    cpu: bool
    """Whether the kit itself is tried where there is no GPU: its steps are the same and smaller."""
    limit: float
    """Seconds for all steps."""
    data: Path
    """The data root."""
    began: float = field(default_factory=time.monotonic)

    @property
    def site(self) -> Path:
        """What was carried along and is not installed there."""
        return self.home / "site"

    @property
    def device(self) -> str:
        return "cpu" if self.cpu else "cuda"

    @property
    def left(self) -> float:
        """Seconds until all steps must be done."""
        return self.limit - (time.monotonic() - self.began)

    @property
    def small(self) -> tuple[str, ...]:
        """The options that make any space small enough for a CPU."""
        settings = ("model=cnn", "dataset=digits", "frozen=0", "subset=101", "precision=fp32")
        return tuple(word for setting in settings for word in ("--set", setting)) if self.cpu else ()

    def work(self, step: str) -> Path:
        """The working directory of a step."""
        return self.home / "work" / step

    def say(self, text: str) -> None:
        line = f"[{time.monotonic() - self.began:5.0f} s] {text}"
        print(line, flush=True)
        with (self.out / "log.txt").open("a") as file:
            file.write(line + "\n")

    def note(self, step: str, **found: object) -> None:
        """Write a line of results.jsonl, and say it."""
        self.keep(json.dumps({"step": step, **found}))
        self.say(f"{step}: {json.dumps(found)[:700]}")

    def keep(self, line: str) -> None:
        with (self.out / "results.jsonl").open("a") as file:
            file.write(line + "\n")

    def environment(self, **more: str) -> dict[str, str]:
        own = {
            "PYTHONPATH": f"{self.site}:{REPO}",
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "SEARCH_DATA_ROOT": str(self.data),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "default",
            "RAY_USAGE_STATS_ENABLED": "0",
            "COLUMNS": "160",
        }
        return {**os.environ, **own, **({"CUDA_VISIBLE_DEVICES": ""} if self.cpu else {}), **more}

    def call(
        self, step: str, seconds: float, *words: object, folder: Path | None = None, shown: int = 12, **more: str
    ) -> tuple[int, str]:
        """Run Python with `words`; its status (124: too long) and all that it said, of which the end is shown.

        A CPU gets eight times as long.
        """
        folder = folder or self.work(step)
        folder.mkdir(parents=True, exist_ok=True)
        seconds, begin = min(seconds * (8 if self.cpu else 1), max(self.left, 1)), time.monotonic()
        command = [sys.executable, *map(str, words)]
        with (self.home / f"{step}.out").open("w+b") as out:
            process = subprocess.Popen(
                command, cwd=folder, env=self.environment(**more), stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            status = _ended(process, seconds)
            out.seek(0)
            said = out.read().decode(errors="replace")
        with (self.out / "log.txt").open("a") as file:
            file.write(f"--- {step}\n{said[-60000:]}\n---\n")
        for line in said.strip().splitlines()[-shown:]:
            print(f"    {line[:220]}", flush=True)
        self.say(f"{step}: exit {status} after {time.monotonic() - begin:.1f} s")
        return status, said

    def search(self, step: str, seconds: float, *words: object, shown: int = 12) -> tuple[int, str]:
        """Run `search` with `words` in the step's own folder."""
        return self.call(step, seconds, *SEARCH, *words, shown=shown)

    def trials(self, step: str) -> list[dict[str, Any]]:
        return trials(self.work(step) / "studies.db")

    def summary(self, step: str) -> dict[str, Any]:
        """States, devices and errors of a step's trials, and the most bytes that one held on its GPU."""
        seen = self.trials(step)
        return {
            "states": dict(Counter(trial["state"] for trial in seen)),
            "devices": dict(Counter(str(trial["device"]) for trial in seen)),
            "errors": sorted({str(trial["error"])[:260] for trial in seen if trial["error"]}),
            "peak_gb": max((trial["cost"].get("peak_memory") or 0 for trial in seen), default=0) / 1e9,
        }

    def gpu(self) -> list[str]:
        """Memory in use and utilisation of each GPU, as nvidia-smi says them."""
        if self.cpu:
            return []
        command = ["nvidia-smi", "--query-gpu=memory.used,utilization.gpu", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip().splitlines()


Step = Callable[[Kit], None]


def _ended(process: subprocess.Popen[bytes], seconds: float) -> int:
    """The status of `process`, which is ended with its group after so many seconds: 124."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(8)
        return 124


def trials(file: Path) -> list[dict[str, Any]]:
    """What a studies file says of each trial, read while others write it: state, error, device, last epoch."""
    found: list[dict[str, Any]] = []
    if not file.is_file():
        return found
    attributes: dict[int, dict[str, Any]] = defaultdict(dict)
    with suppress(sqlite3.OperationalError), sqlite3.connect(f"file:{file}?mode=ro", uri=True) as base:  # not whole yet
        for trial, key, value in base.execute("select trial_id, key, value_json from trial_user_attributes"):
            attributes[trial][key] = json.loads(value)
        query = "select trial_id, number, state, datetime_complete from trials"
        for trial, number, state, end in base.execute(query):
            own = attributes[trial]
            row = {"number": number, "state": state, "end": end, "device": own.get("ran_on", {}).get("device")}
            found.append(row | {"error": own.get("error"), "epoch": own.get("epoch", {}), "cost": own.get("cost", {})})
    return found


def lines(said: str, *words: str) -> list[str]:
    """The lines that hold one of the words."""
    return [line for line in said.splitlines() if any(word in line for word in words)]
