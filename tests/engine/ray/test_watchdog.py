"""The death of a server of Ray's is noticed at once, in the main thread."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest
from live import until

from search.engine.ray import watchdog


@pytest.fixture
def raylet(monkeypatch: pytest.MonkeyPatch) -> subprocess.Popen[bytes]:
    """A process that stands where Ray keeps its raylet."""
    process = subprocess.Popen(["sleep", "60"])
    monkeypatch.setattr(watchdog, "servers", lambda: {process.pid: "raylet"})
    return process


def test_a_server_that_dies_interrupts_whatever_goes_on(raylet: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    with watchdog.watched() as dead:
        try:
            raylet.kill()
            time.sleep(30)
        except KeyboardInterrupt:
            assert dead == ["raylet"]
    assert time.monotonic() - began < 25
    raylet.wait()


def test_a_server_that_is_dead_already_interrupts_too(raylet: subprocess.Popen[bytes]) -> None:
    raylet.kill()
    raylet.wait()
    with pytest.raises(KeyboardInterrupt), watchdog.watched():
        time.sleep(30)


def test_where_the_servers_live_nothing_happens(raylet: subprocess.Popen[bytes]) -> None:
    with watchdog.watched() as dead:
        time.sleep(0.1)
    assert dead == []
    raylet.kill()  # nobody looks any more
    raylet.wait()


def test_a_head_that_stays_silent_interrupts_and_one_that_comes_back_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "NEWS", 0.3)
    monkeypatch.setattr(watchdog, "EVERY", 0.1)
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        contact = watchdog.Contact(f"127.0.0.1:{port}", said.append)
        assert contact.lost() == ""
    with watchdog.watched(contact) as lost:
        until(lambda: said, "the news")
        with socket.create_server(("127.0.0.1", port)):
            until(lambda: len(said) == 2, "the head")
        assert lost == []
        monkeypatch.setattr(watchdog, "LONGEST", 0.5)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(30)
    where = f"the cluster's head at 127.0.0.1:{port}"
    assert said[0] == f"{where} does not answer; waiting for up to 50 s"
    assert said[1].startswith(f"{where} answers again, after ")
    assert lost[0].startswith(f"{where} has not answered for ")


DEAF = """
import time, signal
from search.engine.ray import watchdog
watchdog.LONGEST, watchdog.EVERY = 0.3, 0.1
contact = watchdog.Contact("127.0.0.1:9", print, lambda why: print("last words:", why, flush=True))
with watchdog.watched(contact):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])  # as code of Ray's that hears nothing
    time.sleep(60)
"""


def test_a_main_thread_that_hears_nothing_ends_with_last_words() -> None:
    done = subprocess.run([sys.executable, "-c", DEAF], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 3, done
    assert done.stdout.startswith("last words: the cluster's head at 127.0.0.1:9 has not answered for ")
