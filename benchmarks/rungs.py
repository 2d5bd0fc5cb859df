"""A first rung that the study itself chooses, against ASHA's fixed one: recorded curves, replayed cold and warm.

python -m benchmarks.rungs [--seeds 20] [--lanes 2 16]      the table of benchmarks/RESULTS.md

The candidate has rungs from epoch 1 on. A rung stops trials only while its values rank the trials that went well past
it as their last values do. It is a function of the stored values alone, as ASHA is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from benchmarks import held, problems, results, warm
from benchmarks.judged import spread
from benchmarks.problems import Problem
from search.study.pruner import ASHA

LEAST, TRUST = 5, 0.5
"""Trials that went past twice a rung, and the rank correlation from which on the rung may stop others."""
PREDICTED = (
    "Predicted, before the replays: the candidate needs fewer lane-epochs than the fixed rung where early ranks hold "
    "(digits_mlp, lite0_linear), is level on lite0_bottleneck, and costs on digits_onecycle, where they mislead."
)


class Trusted(ASHA):
    """ASHA from epoch 1 on, each of whose rungs stops trials only while it ranks as the last epochs do."""

    def __init__(self) -> None:
        super().__init__(min_resource=1, reduction_factor=2)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None:
            return False
        if math.isnan(trial.intermediate_values[step]):
            return True
        return self.is_rung(step) and trusts(study.get_trials(deepcopy=False), step) and super().prune(study, trial)


def trusts(trials: Sequence[FrozenTrial], rung: int) -> bool:
    """Whether the rung may stop trials: from epoch 2 on, or by the rank correlation where LEAST trials show it."""
    from scipy.stats import spearmanr

    past = [
        (seen[rung], seen[last])
        for trial in trials
        if trial.state != TrialState.FAIL
        and (last := trial.last_step or 0) > 2 * rung
        and math.isfinite((seen := trial.intermediate_values)[rung])
        and math.isfinite(seen[last])
    ]
    if len(past) < LEAST:
        return rung >= 2
    found = np.array(past)
    if np.ptp(found, axis=0).min() == 0:
        return False
    return bool(spearmanr(found).statistic >= TRUST)


PRUNERS = {"epoch 4": ASHA, "chosen": Trusted}


def cost(name: str, seed: int, lanes: int, learns: bool, which: str) -> float:
    """Lane-epochs of one replay, with a study of each problem of other data to learn from or none."""
    problem = warm.KNOWN[name]
    known = [*problems.PROBLEMS, *held.recorded()]
    pasts = warm.others(known, same=False)(problem, seed) if learns else []
    return warm.cost(warm.Side(problem, seed, pasts, PRUNERS[which]()), problem, lanes)


def row(problem: Problem, lanes: int, learns: bool, costs: dict[str, NDArray[np.float64]]) -> str:
    """A line of the table."""
    from benchmarks.warm_table import verdict

    fixed, chosen = costs["epoch 4"], costs["chosen"]
    words = [problem.name, str(lanes), "warm" if learns else "cold", str(lanes * problem.epochs)]
    return f"| {' | '.join([*words, spread(fixed), spread(chosen), verdict(chosen, fixed)])} |"


def main() -> None:
    arguments = warm.parser_of(__doc__).parse_args()
    lines = [
        f"{arguments.seeds} seeds; lane-epochs to within {warm.GAP:.1%} of the best, in the mean of training seeds; "
        f"median (quartiles); never is beyond {warm.CAP}. Chosen against fixed: Wilcoxon's test, paired by seed.",
        "",
        PREDICTED,
        "",
        "| problem | lanes | earlier studies | floor | first rung at epoch 4 | chosen | chosen against 4 |",
        "|---|---|---|---|---|---|---|",
    ]
    variants = [(learns, which) for learns in (False, True) for which in PRUNERS]
    for problem, lanes, found in warm.replays(cost, variants, arguments.seeds, arguments.lanes):
        costs = dict(zip(variants, found, strict=True))
        for learns in (False, True):
            lines.append(row(problem, lanes, learns, {which: costs[learns, which] for which in PRUNERS}))
            print(lines[-1], flush=True)
    results.write("A first rung that the study chooses", results.command("rungs"), lines)


if __name__ == "__main__":
    main()
