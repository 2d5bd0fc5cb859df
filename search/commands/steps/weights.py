"""The weights of a study's trial, as they lie in its run, or where `search train` wrote them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from optuna.study import Study
from optuna.trial import FrozenTrial

from search.commands.steps.export import best_path, pick
from search.config import is_train_config
from search.engine.retention import weights_of
from search.errors import SearchError, option
from search.files.locations import Where, fetched, is_file
from search.study.attributes import StudyRecord, TrialRecord, config_of
from search.trained.about import About, read_about


class Weights(NamedTuple):
    """A trial's weights: the file on this machine, where it comes from, and what it says of itself."""

    trial: FrozenTrial
    file: Path
    source: Where
    about: About


@contextmanager
def trained(study: Study, reports: Path, run_dir: Where, number: int | None = None) -> Iterator[Weights]:
    """The weights of a trial, by default of the best: those of its run, else those of `search train`.

    Raises SearchError for a study with a train() of its own, which keeps its model itself, and where there are none.
    """
    check_ours(study)
    if number is None and len(study.directions) > 1:
        name = study.study_name
        raise SearchError(
            f"the study {name!r} has {len(study.directions)} objectives and no best trial; `search export {name} "
            f"{option('trial', 'N')} {option('model', 'DIR')}` writes the model of one"
        )
    trial, best = pick(study, number), best_path(study, reports, number)
    in_run = weights_of(study.study_name, trial.number, run_dir)
    retrained = best.with_suffix(".safetensors")
    there = [place for place in (in_run, retrained) if is_file(place)]
    if not there:
        raise _missing(study, number, in_run, best)
    refused: list[SearchError] = []
    for place in there:
        try:
            with fetched(place) as here:
                yield Weights(trial, here, place, _checked(here, place, trial, best))
                return
        except _Stale as error:  # the other may do
            refused.append(error)
        except OSError as error:
            raise SearchError(f"{place}: the weights cannot be read: {error}") from None
    raise SearchError(str(refused[-1]))


class _Stale(SearchError):
    """The file is not the trial's."""


def _missing(study: Study, number: int | None, in_run: Where, best: Path) -> SearchError:
    how = f"search export {shlex.quote(study.study_name)}" + (f" --trial {number}" if number is not None else "")
    remedy = f"`search train {shlex.quote(str(best))}` trains the model and writes it"
    if not best.is_file():
        remedy = f"`{how}` and then {remedy}"
    return SearchError(
        f"no {in_run} and no {best.with_suffix('.safetensors')}: a run keeps the weights of its best trial, in its "
        f"{option('run_dir')}; {remedy}"
    )


def check_ours(study: Study) -> None:
    """Raise SearchError for a study whose models this project did not make."""
    trials = study.get_trials(deepcopy=False)
    settings = [config for trial in trials if (config := TrialRecord(trial).config)]
    if StudyRecord(study).own_train or (settings and not is_train_config(settings[0])):
        raise SearchError(
            f"the study {study.study_name!r} has a train() of its own, so that there is no model of ours: "
            "what its train() saves is the model"
        )


def _checked(here: Path, place: Where, trial: FrozenTrial, best: Path) -> About:
    """What the file says of itself, which is of this trial. Raises SearchError."""
    anew = f"`search train {shlex.quote(str(best))}` writes it anew"
    try:
        about = read_about(here)
    except SearchError as error:
        said = str(error).replace(str(here), str(place)).partition("; `search export`")[0]
        raise _Stale(f"{said}; {anew}") from None
    expected = {**config_of(trial), "precision": about.config.precision}
    data = TrialRecord(trial).data
    if about.config.model_dump(mode="json") != json.loads(json.dumps(expected)):
        raise _Stale(f"{place} is not of trial {trial.number}'s config; {anew}")
    if data and about.data and data != about.data:
        raise _Stale(f"{place} was trained on other data than trial {trial.number}; {anew}")
    return about
