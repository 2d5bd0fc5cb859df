"""How late ASHA may stop a trial: anywhere, or with as much again still to come. Recorded curves, replayed.

python -m benchmarks.last_rung

Successive halving as its paper has it (Li et al., arXiv 1810.05934) stops at rungs r with r * eta at most the whole
length: a trial that is stopped has most of its epochs before it. With a first rung at 4, ASHA(late=True) stops
at 8 of 10, too.
"""

from __future__ import annotations

from benchmarks import results, warm
from benchmarks.judged import spread
from search.study.pruner import ASHA

FOUND = (
    "Not predicted: it was looked for after the problems held back had been replayed, where no side with rungs at 8 of "
    "10 or 8 of 15 epochs came near the best of cifar_cnn and cifar_mlp. So this table chooses, and no problem is left "
    "that could confirm it."
)


def cost(name: str, seed: int, lanes: int, late: bool) -> float:
    """Lane-epochs of one replay without earlier studies."""
    problem = warm.KNOWN[name]
    return warm.cost(warm.Side(problem, seed, pruner=ASHA(late=late)), problem, lanes)


def main() -> None:
    from benchmarks.warm_table import verdict  # late: it imports scipy

    arguments = warm.parser_of(__doc__).parse_args()
    lines = [
        f"{arguments.seeds} seeds, cold; lane-epochs to within {warm.GAP:.1%} of the best, in the mean of training "
        f"seeds; median (quartiles); never is beyond {warm.CAP}. Wilcoxon's test, paired by seed.",
        "",
        FOUND,
        "",
        "| problem | lanes | epochs | floor | rungs at 4 and 8 | a rung at 4 | a rung at 4 against both |",
        "|---|---|---|---|---|---|---|",
    ]
    variants = [(True,), (False,)]
    for problem, lanes, (both, one) in warm.replays(cost, variants, arguments.seeds, arguments.lanes):
        words = [problem.name, str(lanes), str(problem.epochs), str(lanes * problem.epochs)]
        lines.append(f"| {' | '.join([*words, spread(both), spread(one), verdict(one, both)])} |")
        print(lines[-1], flush=True)
    results.write("The last rung", results.command("last_rung"), lines)


if __name__ == "__main__":
    main()
