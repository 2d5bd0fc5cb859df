"""Where the driver's trials come from, with the user's code that chooses them, and that may stop the study."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import TrialPruned
from optuna.samplers import BaseSampler, GridSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from search.engine.failures import RunAborted, reason
from search.errors import SearchError
from search.files import streams
from search.space.checks import place_of
from search.space.file import SpaceFile
from search.space.points import outside
from search.study.ending.stopping import Reached, Stopping
from search.study.storage import internals, retry
from search.study.supply import NO_MORE, has_points, queued, stoppable


class Supply:
    """The queue of a study and its sampler."""

    def __init__(self, study: Study, stopping: Stopping, path: Path) -> None:
        """`path`: of the space file."""
        self._study, self._stopping, self._path = study, stopping, path
        self._known: tuple[object, bool] = (None, True)

    @contextmanager
    def asked(self, what: str, callback: object = None) -> Iterator[None]:
        """Call the space file's `what`: its sampler, pruner or callback. Raises RunAborted for what it raises."""
        try:
            with self.heeded(what):
                yield
        except (*retry.ERRORS, OSError, RunAborted):
            raise
        except (Exception, SystemExit) as error:
            raise self._blame(what, error, callback) from error

    def _blame(self, what: str, error: BaseException, callback: object = None) -> RunAborted:
        """What ends the run for what the space file's sampler, pruner or callback raises: it would again."""
        made = callback or (self._study.pruner if what == "pruner" else internals.unwrapped(self._study.sampler))
        name = getattr(made, "__name__", type(made).__name__)
        place = place_of(self._path, "callbacks" if what == "callback" else what)
        return RunAborted(f"the study's {what} {name} failed: {reason(error, place)}")

    @contextmanager
    def heeded(self, what: str) -> Iterator[None]:
        """Call the space file's `what`, which may stop the study."""
        with stoppable(self._study) as stopped, streams.theirs():
            yield
        if stopped and self._stopping.stopped is None:
            said = Reached("callback", f"the {what} of the space file stopped the study", at_once=False)
            self._stopping.stopped = NO_MORE if what == "sampler" else said

    def settings(self, space: SpaceFile, trial: Trial) -> dict[str, Any]:
        """Draw the trial's settings. Raises SearchError for a value outside its range, wherever that comes from."""
        with self._sampling(trial), self.heeded("space(trial)"):
            settings = space.suggest(trial)
        drawn = internals.known(trial)
        if said := outside(drawn.params, drawn.distributions):
            raise SearchError(said)
        return settings

    @contextmanager
    def _sampling(self, trial: Trial) -> Iterator[None]:
        """Let the sampler draw values. Raises RunAborted for what it raises, whatever the space makes of that.

        Optuna's grid raises for a name that it lacks, which only some trials may ask for: that is the trial's failure.
        """
        study = trial.study
        sampler = study.sampler
        if isinstance(internals.unwrapped(sampler), GridSampler):
            yield
            return
        study.sampler = blamed = cast(Any, _Blamed(sampler))
        try:
            yield
        except (Exception, SystemExit):
            if blamed.raised is None:
                raise
        finally:
            study.sampler = sampler
        if blamed.raised is not None:
            raise self._blame("sampler", blamed.raised) from blamed.raised

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


class _Blamed:
    """A sampler that keeps what it raises, so that it is not taken for an error of the code that asks it."""

    def __init__(self, sampler: BaseSampler) -> None:
        self._sampler = sampler
        self.raised: BaseException | None = None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._sampler, name)
        return partial(self._call, found) if callable(found) else found

    def sample_independent(self, study: Study, trial: FrozenTrial, name: str, kind: BaseDistribution) -> Any:
        found = self._call(self._sampler.sample_independent, study, trial, name, kind)
        _check_drawn({name: found}, {name: kind})
        return found

    def sample_relative(self, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution]) -> dict[str, Any]:
        found: dict[str, Any] = self._call(self._sampler.sample_relative, study, trial, space)
        _check_drawn(found, space)
        return found

    def _call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except (*retry.ERRORS, OSError, TrialPruned):
            raise
        except (Exception, SystemExit) as error:
            self.raised = self.raised or error
            raise


def _check_drawn(values: Mapping[str, Any], ranges: Mapping[str, BaseDistribution]) -> None:
    """Raise SearchError for an option that a Choice lacks, of which Optuna would not say the setting."""
    for name, value in values.items():
        kind = ranges.get(name)
        if isinstance(kind, CategoricalDistribution) and (said := outside({name: value}, {name: kind})):
            raise SearchError(said)
