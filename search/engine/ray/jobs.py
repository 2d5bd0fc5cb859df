"""Runs that a user elsewhere submits to a cluster's head, through Ray's Jobs API."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ray.job_submission import JobStatus, JobSubmissionClient

from search.engine.processes.scratch import scratch
from search.engine.processes.signals import environment
from search.engine.ray import auth, cluster, luggage
from search.errors import ClusterFailed, SearchError, first_line, option

_STOPS = {"RAY_JOB_STOP_WAIT_TIME_S": "60"}
"""Seconds in which a stopped run puts its trials back in the queue. Ray's default is 3."""
_STARTS = 120.0
"""Seconds in which a head starts its Jobs API."""
_SILENT = 60.0
"""Seconds. Whoever follows a job that prints nothing for so long asks whether it still runs."""
_RAYS = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
_SPACE, _FOLDER = "search_space", "search_folder"
"""What a job's metadata keep of it."""
_WORDS = {JobStatus.PENDING: "waiting", JobStatus.SUCCEEDED: "done"}
_SEARCH = "\"$python\" -c 'from search.cli import main; main()'"


class Jobs:
    """The jobs of a cluster. The head serves them at `address`, such as http://head:8265."""

    def __init__(self, address: str) -> None:
        """Raises SearchError if no head takes jobs there, or it needs the cluster's token. Raises ClusterFailed."""
        cluster.check_jobs_api()
        self._address = address
        self._reach()
        auth.send_token()
        for name in ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            with environment():
                for name in _RAYS:  # Ray would go there, whatever the caller has asked for
                    os.environ.pop(name, None)
                self._client = JobSubmissionClient(address)
        except Exception as error:  # of many kinds
            raise SearchError(
                f"{option('address', address)}: {auth.why_not(error, 'does the head of a cluster take jobs there?')}"
            ) from None

    def _reach(self) -> None:
        """Raise ClusterFailed if nobody answers within seconds: Ray would wait for minutes, without a word."""
        url = urlsplit(self._address)
        if url.hostname is None or (getproxies().get(url.scheme) and not proxy_bypass(url.hostname)):
            return
        try:
            port = url.port or (443 if url.scheme == "https" else 80)
        except ValueError as error:
            raise SearchError(f"{option('address', self._address)}: {first_line(error)}") from None
        cluster.check_answers(self._address, url.hostname, port, tries=1)

    def submit(self, space: Path, folder: str, words: Sequence[str], variables: dict[str, str]) -> str:
        """Make the head run `search run SPACE WORDS` in its `folder`. Returns the job's name.

        The folder of the space file and this package are copied there. Raises SearchError.
        """
        python, there = shlex.quote(sys.executable), shlex.quote(folder)
        steps = [
            f'from="$PWD" python={python} && {{ [ -x "$python" ] || python=python; }}',  # the other, if installed alike
            f"mkdir -p {there} && cd {there}",
            f'exec {_SEARCH} run "$from"/{shlex.quote(space.name)} --address auto {shlex.join(words)}',
        ]
        entry = " && ".join(steps)
        with scratch() as (here, _):
            travels = {**luggage.gathered(here, space), "env_vars": _STOPS | variables}
            about = {_SPACE: space.name, _FOLDER: folder}
            return str(self._asked(self._submit_soon, entrypoint=entry, runtime_env=travels, metadata=about))

    def _submit_soon(self, **job: Any) -> str:
        """Submit, with repeated tries: a head has no agent right after its start. Returns the job's name."""
        deadline = time.monotonic() + _STARTS
        while True:
            try:
                return str(self._client.submit_job(**job))
            except RuntimeError as error:
                if "No available agent" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def logs(self, job: str, say: Callable[[str], None], follow: bool) -> bool:
        """Say the job's output so far, with `follow` until its end. Returns False if it failed. Raises SearchError."""
        said = 0
        while True:
            status = self._asked(self._client.get_job_status, job)
            if not follow or status.is_terminal():
                say(self._asked(self._client.get_job_logs, job)[said:])
                return bool(status != JobStatus.FAILED)
            said = self._tail(job, say, said)

    def _tail(self, job: str, say: Callable[[str], None], said: int) -> int:
        """Say the output after the first `said` characters while the connection lasts. Returns the new count."""

        async def tail() -> None:
            nonlocal said
            passed, lines = 0, self._client.tail_job_logs(job)  # from the beginning
            while True:
                try:  # a connection that was cut without a word is silent, too
                    text = await asyncio.wait_for(anext(lines), _SILENT)
                except (StopAsyncIteration, TimeoutError):
                    return
                if passed + len(text) > said:
                    say(text[max(0, said - passed) :])
                    said = passed + len(text)
                passed += len(text)

        # The caller checks next whether the head answers. The warning is about Ray's use of aiohttp.
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning), suppress(RuntimeError, OSError):
            asyncio.run(tail())
        time.sleep(0.2)
        return said

    def stop(self, job: str) -> bool:
        """End the job as Ctrl-C would. Returns whether it was still running. Raises SearchError."""
        return bool(self._asked(self._client.stop_job, job))

    def listed(self) -> list[dict[str, Any]]:
        """What was submitted, the newest first, a row each. Raises SearchError."""
        known = [job for job in self._asked(self._client.list_jobs) if job.submission_id]
        return [
            {
                "job": job.submission_id,
                "state": _WORDS.get(job.status, str(job.status).lower()),
                "started": _time(job.start_time),
                "ended": _time(job.end_time),
                "space": (job.metadata or {}).get(_SPACE, ""),
                "folder": (job.metadata or {}).get(_FOLDER, ""),
            }
            for job in sorted(known, key=lambda job: job.start_time or 0, reverse=True)
        ]

    def running(self) -> list[str]:
        """The names of the jobs that have not ended."""
        jobs = self._asked(self._client.list_jobs)  # drivers among them, which nobody submitted
        return [job.submission_id for job in jobs if job.submission_id and not job.status.is_terminal()]

    def end(self, jobs: Sequence[str]) -> None:
        """Stop the jobs. Wait until they have ended, at most for the time that each has to stop."""
        for job in jobs:
            self.stop(job)
        deadline = time.monotonic() + float(_STOPS["RAY_JOB_STOP_WAIT_TIME_S"])
        while set(jobs) & set(self.running()) and time.monotonic() < deadline:
            time.sleep(0.2)

    def _asked(self, ask: Callable[..., Any], *args: Any, **more: Any) -> Any:
        self._reach()
        try:
            return ask(*args, **more)
        except RuntimeError as error:  # its text has the server's Traceback
            said = str(error).strip()
            with suppress(IndexError):
                if "does not exist" in said:
                    raise SearchError(f"there is no job {args[0]!r}; `search submit` prints its name") from None
            raise SearchError(f"the cluster's head refused: {said.splitlines()[-1]}") from None
        except OSError as error:
            raise ClusterFailed(f"the cluster's head does not answer: {first_line(error)}") from None


def _time(milliseconds: int | None) -> str:
    return datetime.fromtimestamp(milliseconds / 1000).isoformat(" ", "seconds") if milliseconds else ""
