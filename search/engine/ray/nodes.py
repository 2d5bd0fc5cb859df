"""The nodes of a Ray that others started. Each node trains in processes of its own fork server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.tune.error import TuneError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.data.reading.skipping import inherited
from search.engine.base import ClusterLost
from search.engine.failures import RunAborted
from search.engine.processes.forkserver import Died
from search.engine.processes.places import Resources, fits
from search.engine.ray import watchdog
from search.engine.ray.cluster import joined
from search.engine.ray.comings import Comings, Seen
from search.engine.ray.luggage import Files, gathered
from search.engine.ray.on_node import Keeper, call_here, name_of
from search.errors import ClusterFailed, SearchError, first_line, spelling

_JOINS = 60.0
"""Seconds in which the first worker of a cluster joins."""
_ENVIRONMENT = {"RAY_CHDIR_TO_TRIAL_DIR": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_AIR_NEW_OUTPUT": "0"}


@dataclass
class Nodes:
    """The nodes on which trials run, as the driver sees them.

    `check`: a function of the training side with its arguments. Each node runs it before its first trial.
    """

    preload: Sequence[str]
    check: tuple[Any, ...] | None
    say: Callable[[str], None] = print
    """Called with one line for the user."""
    verbose: bool = False
    patience: float | None = None
    """Seconds that the training gets in the end to close what it opened. None: no limit."""
    resources: Resources = field(default_factory=lambda: Resources(0, 0))
    load: Callable[[], tuple[int, int]] = lambda: (0, 0)
    """How many trials run, and how many have not started yet."""
    files: Files | None = None
    """Those of the space file's folder. None: there is no space file."""
    _keepers: dict[str, tuple[str, Any, Any]] = field(default_factory=dict)
    """For each node in use: its address, its Keeper, and the Keeper's answer to `ready` until that has arrived."""
    _wishes: list[Any] = field(default_factory=list)
    contact: watchdog.Contact | None = None
    """With the head, once a run has begun."""
    last_words: Callable[[str], None] = print
    """Called in another thread with why the cluster is lost, where this one hangs in Ray: the process ends then."""
    lost: watchdog.Found = field(default_factory=watchdog.Found)
    """Why the cluster is lost, once it is."""
    _slots: int = 0
    _seen: float = -1.0

    def __post_init__(self) -> None:
        self.comings = Comings(lambda line: self.say(line))

    def wait_for_workers(self) -> None:
        """Wait until a node has joined that trains: a head may be up before its workers. Raises ClusterFailed."""
        deadline = time.monotonic() + _JOINS
        if not _trains():
            self.say(f"no worker has joined the cluster yet; waiting for up to {_JOINS:.0f} s")
        while not _trains():
            if time.monotonic() > deadline:
                then = "start Ray on a machine that trains, then the same command goes on"
                raise ClusterFailed(f"no worker has joined the cluster: {then}")
            time.sleep(0.2)

    def slots(self) -> int:
        """How many trials fit at a time now, updated once a second. Raises RunAborted for a node that cannot train."""
        if time.monotonic() < self._seen + 1.0 or (self.contact and not self.contact.reached()):
            return self._slots  # without its head, Ray's answer would be waited for without end
        self._seen = time.monotonic()
        there = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        seen = {id: Seen(of["NodeManagerAddress"], fits(of["Resources"], self.resources)) for id, of in there.items()}
        alive = {id: node for id, node in seen.items() if node.places}
        self._slots = sum(node.places for node in alive.values())
        self.comings.look(alive)
        for id in alive.keys() - self._keepers.keys():
            self._keepers[id] = self._keep(id, alive[id].address)
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

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Watch the head, and this machine's node, while the block runs. Raises ClusterLost."""
        address = ray.get_runtime_context().gcs_address
        self.contact = watchdog.Contact(address, lambda line: self.say(line), lambda why: self.last_words(why))
        with watchdog.watched(self.contact) as self.lost:
            try:
                yield
            except KeyboardInterrupt:
                if not self.lost:
                    raise
                self.lost.noted = True
                raise ClusterLost(self.lost[0]) from None
            finally:
                if not self.lost:
                    self.close()

    def __len__(self) -> int:
        return len(self._keepers)

    def _keep(self, node: str, where: str) -> tuple[str, Any, Any]:
        here = NodeAffinitySchedulingStrategy(node, soft=False)
        options: Any = ray.remote(Keeper).options(name=name_of(node), num_cpus=0, scheduling_strategy=here)
        keeper = options.remote(self.preload, self.check, self.verbose, self.patience, self.files)
        return where, keeper, keeper.ready.remote()

    def close(self) -> None:
        """End the nodes' fork servers, once the training has closed what it opened. A node may be gone by then."""
        ending = [keeper.close.remote() for _, keeper, _ in self._keepers.values()]
        ended = ray.wait(ending, num_returns=len(ending), timeout=self.patience)[0] if ending else []
        for words in ended:
            with suppress(RayError):
                for line in ray.get(words):
                    self.say(line)

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
                wrong = reason(error)
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


def of_ray(error: BaseException | None) -> TuneError | RayError | None:
    """`error`, if it is one of Ray's, or what it was raised from: Tune wraps those that it does not expect."""
    if error is None or isinstance(error, (TuneError, RayError)):
        return error
    return of_ray(error.__cause__)


def reason(error: Exception) -> str:
    """What an error of Ray's says, in one line."""
    said = str(error).strip()
    if "out of memory issue" in said or "low on memory" in said:  # Ray's last line names a page of its documents
        return "Ray ended what ran there, because the machine is short of memory; end other programs there"
    return said.splitlines()[-1]


def _nothing() -> None: ...


def there() -> list[dict[str, float]]:
    """What each node of the cluster has."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _trains() -> bool:
    """Whether any node has CPUs or GPUs for trials."""
    return any(node.get("CPU") or node.get("GPU") for node in there())


@contextmanager
def borrowed(address: str, folder: Path, space: Path | None, verbose: bool) -> Iterator[Files | None]:
    """Connect to the Ray at `address`, and copy this package and the folder of the `space` file to its nodes.

    `folder`: a scratch folder, where both are gathered. Yields the files of the space file's folder. Raises SearchError
    if no Ray is at the address, or the space file's folder is too large.
    """
    travels = gathered(folder, space)
    files = Files.of(Path(travels["working_dir"])) if space is not None else None
    with joined(address, {**travels, "env_vars": _ENVIRONMENT | spelling() | inherited()}, verbose):
        yield files
