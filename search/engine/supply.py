"""Where the driver's trials come from, with the user's code that chooses them, and that may stop the study."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from optuna.study import Study
from optuna.trial import Trial

from search.engine.failures import RunAborted, reason
from search.errors import SearchError
from search.space.file import SpaceFile
from search.space.points import outside
from search.study.stopping import Reached, Stopping
from search.study.storage import internals, retry
from search.study.supply import NO_MORE, has_points, queued, stoppable


class Supply:
    """The queue of a study and its sampler."""

    def __init__(self, study: Study, stopping: Stopping) -> None:
        self._study, self._stopping = study, stopping
        self._known: tuple[object, bool] = (None, True)

    @contextmanager
    def asked(self, what: str) -> Iterator[None]:
        """Call the space file's `what`: its sampler, pruner or callback. Raises RunAborted for what it raises."""
        with _blamed(what), self.heeded(what):
            yield

    @contextmanager
    def heeded(self, what: str) -> Iterator[None]:
        """Call the space file's `what`, which may stop the study."""
        with stoppable(self._study) as stopped:
            yield
        if stopped and self._stopping.stopped is None:
            said = Reached("callback", f"the {what} of the space file stopped the study", at_once=False)
            self._stopping.stopped = NO_MORE if what == "sampler" else said

    def settings(self, space: SpaceFile, trial: Trial) -> dict[str, Any]:
        """Draw the trial's settings. Raises SearchError for a value outside its range, wherever that comes from."""
        with self.heeded("space(trial)"):
            settings = space.suggest(trial)
        drawn = internals.known(trial)
        if said := outside(drawn.params, drawn.distributions):
            raise SearchError(said)
        return settings

    def more(self, state: object) -> bool:
        """Whether there is a trial to start; `state`: what changes whenever a trial begins or ends."""
        reached = self._stopping.reached()
        if reached is None:
            if self._known[0] != state:
                self._known = state, has_points(self._study)
            if self._known[1]:
                return True
            self._stopping.stopped = reached = NO_MORE
        return reached is NO_MORE and queued(self._study)


@contextmanager
def _blamed(what: str) -> Iterator[None]:
    """Raise RunAborted for what the space file's sampler or pruner raises: it would again, at every trial."""
    try:
        yield
    except (*retry.ERRORS, OSError):
        raise
    except Exception as error:
        raise RunAborted(f"the study's {what} failed: {reason(error)}") from error
