"""Ray's own side of a run: a head that others connect to, and who may."""

from __future__ import annotations

import json
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import free_port, listening, loopback, read

from search.engine import cluster
from search.engine.cluster import Head
from search.engine.scratch import scratch
from search.errors import SearchError


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    if cluster.missing():
        pytest.skip("ray[default] is not installed: this test did NOT run")
    with scratch() as (folder, _), cluster.head(folder, free_port()) as head:
        yield head
    assert not folder.exists()


def test_the_heads_token_is_its_owners_alone(head: Head) -> None:
    assert stat.filemode(head.token.stat().st_mode) == "-rw-------"
    assert stat.filemode(head.token.parent.stat().st_mode) == "drwx------"


def test_the_jobs_api_refuses_whoever_has_no_token(head: Head) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(f"{head.jobs}/api/version", timeout=10)
    refused.value.close()
    asked = urllib.request.Request(
        f"{head.jobs}/api/version", headers={"Authorization": f"Bearer {head.token.read_text()}"}
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert json.load(answer)["ray_version"]


def test_a_head_listens_on_loopback_only(head: Head) -> None:
    folder = str(head.token.parent)
    heard = listening({int(p.name) for p in Path("/proc").glob("[0-9]*") if folder in read(p / "cmdline")})
    assert len(heard) >= 4  # the control store, the raylet, the dashboard and its agents
    assert [address for address in heard if not loopback(address)] == []


def test_a_port_that_is_taken_is_named(head: Head) -> None:
    port = int(head.jobs.rpartition(":")[2])
    with scratch() as (folder, _), pytest.raises(SearchError, match=f"port {port}: "), cluster.head(folder, port):
        pass
