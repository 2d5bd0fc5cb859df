"""Ray Tune as an engine, started so that nothing waits: Ray starts while the fork server imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.engine.base import Setup
from search.engine.messages import WorkerConfig
from search.engine.processes import forkserver
from search.entry_points import CHECK_RUN_DIR_FIRST
from search.study.storage.open import warm_up

if TYPE_CHECKING:
    from search.engine.ray.nodes import Nodes
    from search.engine.ray.tune import Tune


@contextmanager
def checked_by(setup: Setup) -> Iterator[tuple[forkserver.ForkServer, Callable[[], Any]]]:
    """A fork server, and what waits for the setup's check and returns what it said."""
    with forkserver.run_fork_server(setup.modules, setup.verbose, setup.workplace.patience, setup.say) as forks:
        checking = forkserver.Call(forks.address, *setup.check, tries=forkserver.DEATHS) if setup.check else None
        yield forks, lambda: checking and setup.wait(checking.result)


@contextmanager
def with_ray(setup: Setup) -> Iterator[tuple[Tune, Any]]:
    """Ray Tune as an engine. Raises SearchError, EngineFailed.

    Ray starts while another process imports torch, or the setup's modules, and checks: each takes about two seconds of
    a core.
    """
    with checked_by(setup) as (forks, said):
        from search.engine.ray import tune  # late: it takes a second, which the fork server needs for torch

        if setup.address is None:
            running = tune.started(forks, setup.workplace, setup.cpus, setup.gpus, setup.verbose)
        else:
            there = _as_seen_there(setup.workplace)
            running = tune.joined(setup.address, forks, there, setup.cpus, setup.gpus, _nodes(setup), setup.space)
        with running as engine:
            warm_up()
            yield engine, said()


def _as_seen_there(workplace: WorkerConfig) -> WorkerConfig:
    """The workplace of a node, where the space file lies in the working directory."""
    own = workplace.own_train
    return replace(workplace, own_train=Path(own).name) if own else workplace


def _nodes(setup: Setup) -> Nodes:
    """The nodes of a cluster, each of which goes through the check, with the space file where it lies there."""
    from search.engine.ray.nodes import Nodes  # late: of Ray

    space = setup.space
    there = setup.check and tuple(space.name if space and part == str(space) else part for part in setup.check)
    if there and isinstance(setup.run_dir, str):
        there = (CHECK_RUN_DIR_FIRST, setup.run_dir, *there)
    return Nodes(setup.modules, there, setup.say, setup.verbose, setup.workplace.patience)
