"""Every private name of Optuna that this package uses, apart from methods that a subclass replaces.

An upgrade of Optuna begins here, and at the list in tests/house/test_private_names.py of what subclasses replace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from optuna._hypervolume import compute_hypervolume
from optuna.samplers import BaseSampler, BruteForceSampler, GridSampler, PartialFixedSampler
from optuna.samplers._brute_force import _TreeNode
from optuna.storages import BaseStorage
from optuna.storages._rdb import models
from optuna.study import Study
from optuna.study._multi_objective import _fast_non_domination_rank
from optuna.trial import FrozenTrial, Trial, TrialState

__all__ = ["models"]


def storage_of(study: Study) -> BaseStorage:
    """The storage as Optuna uses it, with its cache."""
    return study._storage


def uncached(storage: BaseStorage) -> BaseStorage:
    """The storage behind Optuna's cache, if there is one."""
    return cast(BaseStorage, getattr(storage, "_backend", storage))


def study_id(study: Any) -> int:
    """The number of a Study or a FrozenStudy in its storage."""
    return int(study._study_id)


def trial_id(trial: Any) -> int:
    """The number of a Trial or a FrozenTrial in its storage."""
    return int(trial._trial_id)


def trials_of(study: Study, *args: Any, **kwargs: Any) -> list[FrozenTrial]:
    """The trials as a sampler reads them."""
    return study._get_trials(*args, **kwargs)


def known(trial: Trial) -> FrozenTrial:
    """What Optuna holds of a trial that runs; its pruner reads this, and not the storage."""
    return trial._cached_frozen_trial


def requeue(study: Study, trial: Any) -> None:
    """Put a RUNNING trial back in the queue as itself. Optuna does not document this change of state."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def system_attrs(study: Study) -> dict[str, Any]:
    """All system attributes of the study; each trial has some of them."""
    return study._storage.get_study_system_attrs(study._study_id)


def set_system_attr(study: Study, key: str, value: Any) -> None:
    """Set a system attribute of the study, such as the dashboard reads."""
    study._storage.set_study_system_attr(study._study_id, key, value)


def unwrapped(sampler: BaseSampler) -> BaseSampler:
    """The sampler that chooses what PartialFixedSampler leaves open."""
    return unwrapped(sampler._base_sampler) if isinstance(sampler, PartialFixedSampler) else sampler


def fixed_in(sampler: BaseSampler | None) -> dict[str, Any]:
    """What PartialFixedSampler fixes, the outermost of several last."""
    if not isinstance(sampler, PartialFixedSampler):
        return {}
    return fixed_in(sampler._base_sampler) | sampler._fixed_params


def lack_constraints(sampler: BaseSampler | None, study: Study) -> list[int]:
    """The numbers of the COMPLETE trials for which a sampler with a `constraints_func` has not computed it."""
    if sampler is None or getattr(unwrapped(sampler), "_constraints_func", None) is None:
        return []
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial.number for trial in done if trial.system_attrs.get("constraints") is None]


def grid_of(sampler: GridSampler) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The names of the grid, and each point's values in their order."""
    return sampler._param_names, sampler._all_grids


def grid_is_taken(sampler: GridSampler, trials: Sequence[FrozenTrial]) -> bool:
    """Whether each point of the grid is some trial's, in whatever state that is."""
    taken = {
        trial.system_attrs["grid_id"]
        for trial in trials
        if "grid_id" in trial.system_attrs and sampler._same_search_space(trial.system_attrs["search_space"])
    }
    return len(taken) >= sampler._n_min_trials


def domination_ranks(losses: NDArray[np.float64], wanted: int | None = None) -> NDArray[np.int64]:
    """Of T trials (T, M), the lower the better: the front that each lies on, from 0; right for the first `wanted`."""
    ranks: NDArray[np.int64] = _fast_non_domination_rank(losses, n_below=wanted)
    return ranks


def hypervolume(losses: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """The volume between the `reference` (M,), which no trial is worse than, and the front of the trials (T, M)."""
    return float(compute_hypervolume(losses, reference))


def tree_is_taken(sampler: BruteForceSampler, trials: Sequence[FrozenTrial]) -> bool:
    """Whether each point that the trials let expect is some trial's; of no trial, nothing is known."""
    tree, begun = _TreeNode(), [trial for trial in trials if trial.distributions]
    sampler._populate_tree(tree, begun, {})
    return bool(begun) and not tree.is_any_expandable(exclude_running=True)


def free(study: Study, trial: Any, attrs: dict[str, Any]) -> None:
    """Leave the point of a trial that waits to the sampler, which was queued with it; and set the attributes."""
    study._storage.set_trial_system_attr(trial._trial_id, "fixed_params", {})
    for key, value in attrs.items():
        study._storage.set_trial_user_attr(trial._trial_id, key, value)
