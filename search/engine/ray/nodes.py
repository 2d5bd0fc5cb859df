"""The nodes of a Ray that others started. Each node trains in processes of its own fork server."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.data.reading.skipping import inherited
from search.engine.failures import RunAborted
from search.engine.processes.forkserver import Call, Died, ForkServer, run_fork_server
from search.engine.ray.cluster import Resources, fits, joined
from search.errors import SearchError, first_line, spelling

MOST = 100 * 2**20
"""The largest size, in bytes, of the space file's folder, which is copied to every node."""
_STAYS = (".*", "__pycache__", "*.pyc", "studies.db*", "runs", "reports", "data", "node_modules")
"""The files of that folder that no node needs."""
_ENVIRONMENT = {"RAY_CHDIR_TO_TRIAL_DIR": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_AIR_NEW_OUTPUT": "0"}


class Keeper:
    """Keeps a node's fork server running. Ray ends it with the run's driver, and the forked processes end with it."""

    def __init__(
        self, preload: Sequence[str], check: tuple[Any, ...] | None, verbose: bool, patience: float | None
    ) -> None:
        self._stack, self._check, self._wrong = ExitStack(), check, ""
        self._fork_server: ForkServer = self._stack.enter_context(run_fork_server(preload, verbose, patience))

    def ready(self) -> tuple[str, str]:
        """The fork server's address, and what is wrong on this node, after its check and the decoding of its images."""
        if self._check is not None:
            try:
                Call(self._fork_server.address, *self._check).result(lambda *progress: None)
            except (SearchError, Died) as error:
                self._wrong = first_line(error)
            self._check = None
        return self._fork_server.address, self._wrong

    def close(self) -> None:
        """End the fork server, once the training has closed what it opened."""
        self._stack.close()


def address_here(patience: float = 300.0) -> str:
    """The address of this node's fork server, once that is ready. For workers. Raises RuntimeError."""
    name, deadline = _name(ray.get_runtime_context().get_node_id()), time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            answer: Any = ray.get_actor(name).ready.remote()
        except ValueError:  # the driver has not seen this node yet
            time.sleep(0.1)
            continue
        address, wrong = ray.get(answer, timeout=patience)
        if wrong:
            raise RuntimeError(wrong)
        return str(address)
    raise RuntimeError("no fork server came to this node")


def _name(node: str) -> str:
    return f"fork server of {node}"


def call_here(function: str, args: tuple[Any, ...]) -> Any:
    """Call a function of the training side in a process of this node, and return its result. For workers.

    The process sees the GPU that Ray has given this worker, as a training process does.
    """
    return Call(address_here(), function, *args, environment=placed()).result(lambda *progress: None)


def placed() -> dict[str, str]:
    """The GPUs and the threads that Ray has given this worker."""
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
    return {name: os.environ[name] for name in names if name in os.environ}


@dataclass
class Nodes:
    """The nodes on which trials run, as the driver sees them.

    `check`: a function of the training side with its arguments. Each node runs it before its first trial.
    """

    preload: Sequence[str]
    check: tuple[Any, ...] | None
    verbose: bool = False
    patience: float | None = None
    """Seconds that the training gets in the end to close what it opened. None: no limit."""
    resources: Resources = field(default_factory=lambda: Resources(0, 0))
    load: Callable[[], tuple[int, int]] = lambda: (0, 0)
    """How many trials run, and how many have not started yet."""
    _keepers: dict[str, tuple[str, Any, Any]] = field(default_factory=dict)
    """For each node in use: its address, its Keeper, and the Keeper's answer to `ready` until that has arrived."""
    _wishes: list[Any] = field(default_factory=list)
    _slots: int = 0
    _seen: float = -1.0

    def slots(self) -> int:
        """How many trials fit at a time now, updated once a second. Raises RunAborted for a node that cannot train."""
        if time.monotonic() < self._seen + 1.0:
            return self._slots
        self._seen, self._slots, alive = time.monotonic(), 0, set()
        for node in ray.nodes():
            places = fits(node["Resources"], self.resources) if node["Alive"] else 0
            if places:
                alive.add(node["NodeID"])
                self._slots += places
                if node["NodeID"] not in self._keepers:
                    self._keepers[node["NodeID"]] = self._keep(node["NodeID"], node["NodeManagerAddress"])
        self._keepers = {node: kept for node, kept in self._keepers.items() if node in alive}
        self.wait_for_checks(0)
        running, left = self.load()
        self._wish(min(left, self._slots) if running >= self._slots else 0)
        return self._slots

    def _wish(self, trials: int) -> None:
        """Tell Ray that so many further trials would run if there were room. Some clusters grow on demand.

        Each wish is a task that waits for the room of a trial and does nothing. It ends with the run.
        """
        self._wishes = ray.wait(self._wishes, num_returns=len(self._wishes), timeout=0)[1] if self._wishes else []
        while len(self._wishes) > trials:
            ray.cancel(self._wishes.pop())
        while len(self._wishes) < trials:
            self._wishes.append(self._task(_nothing).remote())

    def _task(self, function: Callable[..., Any]) -> Any:
        """`function` as a task that Ray runs once, on a node with room for a trial."""
        need = {"num_cpus": self.resources.cpus, "num_gpus": self.resources.gpus, "max_retries": 0}
        return ray.remote(function).options(**need)

    def __len__(self) -> int:
        return len(self._keepers)

    def _keep(self, node: str, where: str) -> tuple[str, Any, Any]:
        here = NodeAffinitySchedulingStrategy(node, soft=False)
        options: Any = ray.remote(Keeper).options(name=_name(node), num_cpus=0, scheduling_strategy=here)
        keeper = options.remote(self.preload, self.check, self.verbose, self.patience)
        return where, keeper, keeper.ready.remote()

    def close(self) -> None:
        """End the nodes' fork servers, once the training has closed what it opened. A node may be gone by then."""
        ending = [keeper.close.remote() for _, keeper, _ in self._keepers.values()]
        ray.wait(ending, num_returns=len(ending), timeout=self.patience) if ending else None

    def wait_for_checks(self, patience: float | None = None) -> None:
        """Wait `patience` seconds for each check (None: no limit). Raises RunAborted that names a failed node."""
        for node, (where, keeper, answer) in self._keepers.items():
            if answer is None:
                continue
            try:
                _, wrong = ray.get(answer, timeout=patience)
            except GetTimeoutError:
                continue
            except RayError as error:  # the node went away, or cannot run our code
                if not any(node == other["NodeID"] and other["Alive"] for other in ray.nodes()):
                    continue
                wrong = str(error).strip().splitlines()[-1]
            if wrong:
                raise RunAborted(f"node {where}: {wrong}")
            self._keepers[node] = where, keeper, None

    def call(self, function: str, args: tuple[Any, ...]) -> Any:
        """Call `function` of the training side on a node with room for a trial. Raises what the function raised."""
        try:
            return ray.get(self._task(call_here).remote(function, args))
        except RayError as error:
            cause = getattr(error, "cause", None)
            raise cause if isinstance(cause, (SearchError, Died)) else Died(first_line(error)) from None


def _nothing() -> None: ...


@contextmanager
def borrowed(address: str, folder: Path, space: Path | None, verbose: bool) -> Iterator[None]:
    """Connect to the Ray at `address`, and copy this package and the folder of the `space` file to its nodes.

    `folder`: a scratch folder, where both are gathered. Raises SearchError if no Ray is at the address, or the space
    file's folder is too large.
    """
    with joined(address, {**gathered(folder, space), "env_vars": _ENVIRONMENT | spelling() | inherited()}, verbose):
        yield


def gathered(folder: Path, space: Path | None) -> dict[str, Any]:
    """A runtime_env with this package and the space file's folder, both copied into `folder`."""
    code, ours = folder / "code", Path(__file__).parents[2]
    shutil.copytree(ours, code / "package" / ours.name, ignore=shutil.ignore_patterns("__pycache__"))
    travels: dict[str, Any] = {"py_modules": [str(code / "package" / ours.name)]}
    if space is not None:
        travels["working_dir"] = str(_gather(space.resolve().parent, code / "space"))
    return travels


def _gather(source: Path, target: Path) -> Path:
    """Copy the files that a space file may need from its folder."""
    ignore = shutil.ignore_patterns(*_STAYS)
    left = MOST

    def copy(file: str, to: str) -> None:
        nonlocal left
        left -= Path(file).stat().st_size
        if left < 0:
            raise SearchError(
                f"{source}: more than {MOST >> 20} MB lie beside the space file, and all that travels to every node, "
                f"such as {file}: put the space file into a folder with what it imports and nothing else"
            )
        shutil.copyfile(file, to)

    def skip(folder: str, names: list[str]) -> set[str]:
        odd = {name for name in names if not (Path(folder) / name).is_file() and not (Path(folder) / name).is_dir()}
        return ignore(folder, names) | odd  # sockets, pipes, dangling links

    shutil.copytree(source, target, ignore=skip, copy_function=copy)
    return target
