"""Asks at ports of a machine, as somebody without the cluster's token; prints what answered, and RAN for what ran."""

from __future__ import annotations

import json
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import grpc

METHODS = (
    "JobInfoGcsService/GetAllJobInfo",
    "InternalKVGcsService/InternalKVPut",
    "ActorInfoGcsService/RegisterActor",
    "NodeManagerService/GetNodeStats",
    "NodeManagerService/RequestWorkerLease",
    "CoreWorkerService/PushTask",
)
MARK = Path(tempfile.gettempdir()) / "ran"
PATHS = ("/", "/api/version", "/api/jobs/", "/metrics", "/api/gcs_healthz", "/api/local_raylet_healthz", "/nodes")


def ask(address: str, method: str = "GET", body: bytes | None = None) -> int:
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"}, method=method)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except Exception:  # no HTTP there
        return 0


def main() -> None:
    machine, *ports = sys.argv[1:]
    for port in ports:
        place = f"http://{machine}:{port}"
        answers = {path: status for path in PATHS if (status := ask(place + path))}
        job = json.dumps({"entrypoint": f"touch {MARK}", "submission_id": f"stranger-{port}"}).encode()
        submitted = ask(f"{place}/api/jobs/", "POST", job)
        print(port, "job:", submitted, answers)
        if submitted == 200:
            print("RAN a job at", port)
        print(port, "calls:", calls := {method: call(f"{machine}:{port}", method) for method in METHODS})
        if "OK" in calls.values():
            print("RAN a call at", port)


def call(address: str, method: str) -> str:
    """The status of Ray's own call, sent without a token and without content."""
    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary(f"/ray.rpc.{method}")
        try:
            ask(b"", timeout=5)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


if __name__ == "__main__":
    main()
