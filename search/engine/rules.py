"""What a run is asked for, and the process that runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from search.engine.retention import RUNS
from search.files.locations import Where
from search.study.ending.stopping import Stopping


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a run is asked for."""

    trials: int
    """How many the study is to have in the end, those of earlier runs included."""
    stopping: Stopping = field(default_factory=Stopping)
    """What may end the run earlier."""
    max_failures: int = 0
    """So many failed trials in a row end the run; diverged ones do not count. 0: never."""
    audit: float = 0.0
    """The share of the trials that the pruner would stop, and that run to their end instead."""
    keeps: bool = True
    """Keep the leader's weights, if the training is the built-in one."""
    run_dir: Where = RUNS
    """The folder for weights and checkpoints, or its URL."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The process that runs the study: how it speaks, and how it learns that it has to stop."""

    say: Callable[[str], None] = print
    """Called with one line for the user."""
    ours: Callable[[], None] = lambda: None
    """Raises SearchError once another process runs the study."""
    signalled: Sequence[int] | None = None
    """The signals that came; not empty once the run shall stop. None: nobody takes note of them."""
    last_words: Callable[[str], None] = print
    """Called with why the process ends at once, with the exit status of ClusterFailed. In any thread."""
