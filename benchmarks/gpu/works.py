"""The steps of the first command: does everything work on a GPU?"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

from benchmarks.gpu.kit import REPO, SEARCH, SPACES, Kit, lines

DIGITS = REPO / "spaces" / "digits.py"
_FORKED = """
import json, os, sys
from search.engine.processes import forkserver
from search.entry_points import PRELOAD, PRELOAD_TORCHVISION
def child(connection, visible):
    if visible is not None: os.environ["CUDA_VISIBLE_DEVICES"] = visible
    import torch
    try:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        x = torch.ones(1000, 1000, device=device)
        bad = bool(getattr(torch._C, "_cuda_isInBadFork", lambda: False)())
        connection.send([device, float((x @ x).sum()), torch.cuda.device_count(), bad])
    except Exception as error:
        connection.send([f"{type(error).__name__}: {error}"[:300]])
    connection.recv()
if __name__ == "__main__":
    with forkserver.run_fork_server((PRELOAD_TORCHVISION, *PRELOAD)) as forks:
        some = [forkserver.fork(forks.address, "forked:child", visible) for visible in ("0", None, "")]
        print(json.dumps([one.recv() for one in some]))
        for one in some: one.close()
"""


def forks(kit: Kit) -> None:
    """Two processes of one fork server use the GPU at the same time; a third may see none."""
    folder = kit.work("forks")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "forked.py").write_text(_FORKED, encoding="utf-8")
    status, said = kit.call("forks", 60, "forked.py", PYTHONPATH=f"{kit.site}:{REPO}:{folder}")
    kit.note("forks", status=status, said=said.strip().splitlines()[-1:])


def quarter(kit: Kit) -> None:
    """Four trials share a GPU, and some are pruned."""
    few = ("--trials", 3, "--epochs", 2) if kit.cpu else ("--trials", 16)
    status, said = kit.search("quarter", 100, "run", DIGITS, "--gpus-per-trial", 0.25, *few)
    kit.note("quarter", status=status, note=lines(said, "side by side"), **kit.summary("quarter"))


def inline(kit: Kit) -> None:
    few = ("--trials", 1 if kit.cpu else 4, "--epochs", 2 if kit.cpu else 4)
    status, _ = kit.search("inline", 60, "run", DIGITS, "--engine", "inline", *few)
    kit.note("inline", status=status, **kit.summary("inline"))


def auto(kit: Kit) -> None:
    """How many trials share a GPU is measured."""
    words = ("--gpus-per-trial", "auto", "--trials", 2 if kit.cpu else 4, "--epochs", 2, *kit.small)
    status, said = kit.search("auto", 100, "run", SPACES / "small.py", *words)
    kit.note("auto", status=status, note=lines(said, "auto", "side by side"), **kit.summary("auto"))


def poison(kit: Kit) -> None:
    """A failed assertion on the GPU takes no later trial along.

    Without Ray there is one process, which can use its GPU no more: the run ends, and the same command goes on.
    """
    space = (SPACES / "poison.py", "--max-failures", 0)
    status, _ = kit.search("poison", 60, "run", *space, "--gpus-per-trial", 1, shown=4)
    kit.note("poison", status=status, **kit.summary("poison"))
    statuses = []
    for _ in range(4):  # a trial that the error took along is tried again
        status, _ = kit.search("poison-inline", 60, "run", *space, "--engine", "inline", shown=4)
        statuses.append(status)
        if not status or kit.left < 30:
            break
    kit.note("poison-inline", statuses=statuses, **kit.summary("poison-inline"))


def resumed(kit: Kit) -> None:
    """A run that is killed goes on where it was, and ends with the numbers of one that was not."""
    words = ("run", SPACES / "long.py", *(("--epochs", 8) if kit.cpu else ()))
    kit.search("whole", 60, *words, shown=3)
    killed_at = _killed(kit, *words)
    time.sleep(2)
    after = kit.gpu()
    status, _ = kit.search("killed", 60, *words, shown=3)
    last = {name: [trial["epoch"] for trial in kit.trials(name)] for name in ("whole", "killed")}
    keys = ("epoch", "train_loss", "val_loss", "val_acc")
    pairs = [[epoch.get(key) for epoch in epochs for key in keys] for epochs in last.values()]
    found = {"status": status, "killed_at": killed_at, "memory_after_kill": after, "same": pairs[0] == pairs[1]}
    kit.note("resumed", **found, whole=pairs[0], killed=pairs[1])


def _killed(kit: Kit, *words: object) -> int:
    """Kill such a run in the midst of its trial; how many epochs that had."""
    folder = kit.work("killed")
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, *SEARCH, *map(str, words)], cwd=folder, env=kit.environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    until, enough = time.monotonic() + (320 if kit.cpu else 40), 3 if kit.cpu else 12

    def reported() -> int:
        return max((trial["epoch"].get("epoch", 0) for trial in kit.trials("killed")), default=0)

    try:
        while time.monotonic() < until and process.poll() is None and reported() < enough:
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return reported()


def oom(kit: Kit) -> None:
    """A trial that lacks memory fails, and those beside it are unharmed."""
    if kit.cpu:
        return kit.note("oom", skipped="a CPU has no memory of its own")
    before = kit.gpu()
    words = ("--gpus-per-trial", 0.5, "--max-failures", 0)
    status, _ = kit.search("oom", 90, "run", SPACES / "oom.py", *words)
    return kit.note("oom", status=status, memory=[before, kit.gpu()], **kit.summary("oom"))


def fifth(kit: Kit) -> None:
    """Five trials at a time is what 0.2 of a GPU allows."""
    few = ("--trials", 2 if kit.cpu else 5, "--epochs", 2)
    status, said = kit.search("fifth", 60, "run", DIGITS, "--gpus-per-trial", 0.2, *few)
    kit.note("fifth", status=status, note=lines(said, "side by side"), **kit.summary("fifth"))


def pair(kit: Kit) -> None:
    """One trial on two GPUs, where there are two."""
    if not kit.cpu and len(kit.gpu()) < 2:
        kit.note("pair", skipped="there is one GPU")
        return
    status, said = kit.search("pair", 60, "run", DIGITS, "--gpus-per-trial", 2, "--trials", 2, "--epochs", 2)
    kit.note("pair", status=status, note=lines(said, "side by side"), **kit.summary("pair"))


def numerics(kit: Kit) -> None:
    """Same config and seed, same numbers: two trainings of each case, and one that takes over a learner."""
    seconds = 1200 if kit.cpu else min(120, kit.left - 12)
    _, said = kit.call("numerics", 130, "-m", "benchmarks.gpu.numerics", kit.data, kit.device, seconds, shown=16)
    found = [json.loads(line) for line in lines(said, '{"case"')]
    for case in found:
        kit.keep(json.dumps(case))
    kit.note("numerics", cases=len(found), differ=[case["case"] for case in found if not _same(case)])


def _same(case: dict[str, object]) -> bool:
    return bool(case.get("same") and case.get("same_restarted")) or "skipped" in case


def tested(kit: Kit) -> None:
    """The tests that need a GPU; on a CPU they are collected, and none is run."""
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu")
    status, said = kit.call("tests", 60, *words, *(("--collect-only",) if kit.cpu else ()), folder=REPO)
    kit.note("tests", status=status, said=said.strip().splitlines()[-1:])


# numerics takes what time is left
STEPS = (forks, quarter, inline, auto, poison, resumed, oom, fifth, pair, tested, numerics)
