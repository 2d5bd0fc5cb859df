"""Studies side by side: which best is the better, whether that can be told, and what each took to get there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.analysis.cost import Cost, cost, machine_seconds
from search.analysis.statistics import LEVEL, difference, holm, wilson
from search.analysis.ties import Ties, bits_of, images_of, paired, right_of
from search.errors import SearchError
from search.files.atomic import file_name, write_text
from search.format import duration, format_number
from search.reporting import table
from search.reporting.columns import escape_cell, image
from search.study.study import config_of, metric_of, metrics_of, ranked, value_of

NEAR = 0.005
"""How near to the best of all is near: of 1 where the metric is the validation accuracy, else of the best."""
TOP = 5
"""Rows of each study's own table."""


@dataclass(frozen=True)
class Side:
    """One of the studies."""

    study: Study

    @cached_property
    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    @cached_property
    def best(self) -> FrozenTrial | None:
        """The first in rank, if it has a number; of several objectives None."""
        first = ranked(self.study)[:1] if len(self.study.directions) == 1 else []
        return first[0] if first and value_of(first[0]) is not None else None

    @cached_property
    def goal(self) -> tuple[str, StudyDirection] | None:
        """What it is ranked by; None for several objectives."""
        return (metric_of(self.study), self.study.direction) if len(self.study.directions) == 1 else None

    @property
    def value(self) -> float:
        assert self.best is not None
        return value_of(self.best) or 0.0

    @cached_property
    def cost(self) -> Cost:
        return cost(self.trials)

    @cached_property
    def curve(self) -> list[tuple[float, float, float]]:
        """Seconds since the first trial began, machine seconds, best so far: after each completed trial.

        Machine seconds are those of all trials that had ended by then; time that the study lay idle counts as time.
        """
        sign = 1 if self.study.direction == StudyDirection.MAXIMIZE else -1
        begin = min((trial.datetime_start for trial in self.trials if trial.datetime_start is not None), default=None)
        ended = [(trial.datetime_complete, trial.number, trial) for trial in self.trials if trial.state.is_finished()]
        spent, best, points = 0.0, None, []
        for at, _, trial in sorted((at, place, trial) for at, place, trial in ended if at is not None):
            spent += machine_seconds(trial) or 0.0
            value = value_of(trial) if trial.state == TrialState.COMPLETE else None
            if value is not None and begin is not None:
                best = value if best is None else sign * max(sign * best, sign * value)
                points.append(((at - begin).total_seconds(), spent, best))
        return points


def sides(studies: Sequence[Study]) -> list[Side]:
    """The studies, in their order. Raises SearchError unless they are two or more, each named once."""
    names = [study.study_name for study in studies]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SearchError(f"the study {twice[0]!r} is named twice")
    if len(names) < 2:
        raise SearchError("one study is not compared with anything: name two or more; `search status` lists them")
    return [Side(study) for study in studies]


def leader(of: Sequence[Side]) -> Side | None:
    """Whose best the others are held against: the best of those with the goal of the first that has a best."""
    ready = [side for side in of if side.best is not None]
    alike = [side for side in ready if side.goal == ready[0].goal]
    if not alike:
        return None
    sign = 1 if alike[0].study.direction == StudyDirection.MAXIMIZE else -1
    return max(alike, key=lambda side: sign * side.value)


def rows(of: Sequence[Side]) -> list[dict[str, Any]]:
    """One row a study, under names that stay."""
    first = leader(of)
    tests = {id(side): _test(first, side) for side in of}
    paired_ones = [test for test in tests.values() if test["test"] == "mcnemar"]
    for test, p in zip(paired_ones, holm([test["p"] for test in paired_ones]), strict=True):
        test |= {"p": float(p), "told_apart": bool(p <= 1 - LEVEL)}
    return [_row(side, first) | tests[id(side)] for side in of]


def _row(side: Side, first: Side | None) -> dict[str, Any]:
    counts = Counter(trial.state for trial in side.trials)
    best, several = side.best, side.goal is None
    images, right = (None, None) if best is None else (images_of(best), right_of(best))
    is_accuracy = images is not None and right is not None and metric_of(side.study) == "val_acc"
    low, high = wilson(right or 0, images or 1) if is_accuracy else (None, None)
    seconds, machine = _to_near(side, first)
    return {
        "study": side.study.study_name,
        "metric": ", ".join(metrics_of(side.study)) if several else metric_of(side.study),
        "direction": ", ".join(direction.name.lower() for direction in side.study.directions),
        "best": None if best is None else side.value,
        "best_low": low,
        "best_high": high,
        "best_trial": None if best is None else best.number,
        "trials": len(side.trials),
        **{state.name.lower(): counts[state] for state in TrialState},
        "machine_seconds": side.cost.spent,
        "saved_seconds": side.cost.saved,
        "gpu_hours": side.cost.gpu_hours,
        "seconds_to_near_best": seconds,
        "machine_seconds_to_near_best": machine,
    }


def _to_near(side: Side, first: Side | None) -> tuple[float | None, float | None]:
    """Time and machine seconds until a trial of `side` was near the best of all; None if none was."""
    if first is None or side.goal != first.goal:
        return None, None
    far = NEAR if metric_of(first.study) == "val_acc" else NEAR * abs(first.value)
    found = (point for point in side.curve if abs(point[2] - first.value) <= far + 1e-12)
    seconds, machine, _ = next(found, (None, None, None))
    return seconds, machine


def _test(first: Side | None, side: Side) -> dict[str, Any]:
    """Whether the bests of two studies can be told apart; `note` says why not where that is not tested."""
    told: dict[str, Any] = {"against": None, "difference": None, "difference_low": None, "difference_high": None}
    told |= {"test": None, "p": None, "told_apart": None, "note": ""}
    if side.best is None or first is None or first.best is None:
        why = f"{len(side.study.directions)} objectives" if side.goal is None else "no best"
        return told | {"note": why}
    if side is first:
        return told | {"note": "the best"}
    if side.goal != first.goal:
        return told | {"note": "not tested: another metric"}
    told |= {"against": first.study.study_name, "difference": side.value - first.value}
    if metric_of(side.study) != "val_acc":
        return told | {"note": "not tested: only accuracies are"}
    if config_of(side.best).get("dataset") != config_of(first.best).get("dataset"):
        return told | {"note": "not tested: another data set"}
    images, right = (images_of(first.best), images_of(side.best)), (right_of(first.best), right_of(side.best))
    if None in images or None in right:
        return told | {"note": "not tested: of how many images is not recorded"}
    bits = bits_of(first.study, first.best), bits_of(side.study, side.best)
    if images[0] == images[1] and bits[0] is not None and bits[1] is not None:
        return told | {"test": "mcnemar", "p": float(paired(bits[0], bits[1][None])[0])}
    low, high = difference(right[1] or 0, images[1] or 1, right[0] or 0, images[0] or 1)
    interval = {"difference_low": low, "difference_high": high}
    return told | interval | {"test": "newcombe", "told_apart": low > 0 or high < 0}


def overall(found: Sequence[dict[str, Any]]) -> str:
    """The table in all, of `rows`, as Markdown."""
    lines = []
    for row in found:
        near, machine = row["seconds_to_near_best"], row["machine_seconds_to_near_best"]
        line = {"Study": row["study"], "Metric": row["metric"], "Best": _best(row), "Against the best": _verdict(row)}
        line |= {name: str(row[name.lower()]) for name in ("Trials", "Complete", "Pruned", "Fail")}
        line |= {
            "Machine time": duration(row["machine_seconds"]),
            "GPU-hours": format_number(row["gpu_hours"], 3) if any(other["gpu_hours"] for other in found) else None,
            "Time to within 0.5%": "" if near is None else duration(near),
            "Machine time to it": "" if machine is None else duration(machine),
        }
        lines.append({name: text for name, text in line.items() if text is not None})
    return table.listing(lines)


def _best(row: dict[str, Any]) -> str:
    if row["best"] is None:
        return ""
    if row["best_low"] is None:
        return f"{format_number(row['best'])}, trial {row['best_trial']}"
    return f"{row['best']:.4f} ({row['best_low']:.3f} to {row['best_high']:.3f}), trial {row['best_trial']}"


def _verdict(row: dict[str, Any]) -> str:
    if row["test"] is None:
        return str(row["note"])
    what = "told apart" if row["told_apart"] else "cannot be told apart"
    if row["test"] == "mcnemar":
        return f"{what} (McNemar, p = {row['p']:.2g})"
    return f"{what} (Newcombe, {row['difference_low']:+.4f} to {row['difference_high']:+.4f})"


_METHODS = {
    "mcnemar": "McNemar: exact test on the same images, Holm over the studies, 5%.",
    "newcombe": "Newcombe: 95% interval of the difference of two shares, where the answers to the same images are not "
    "there; wider than need be if the images are the same.",
}
_LIMIT = (
    "Each best was picked among its study's trials: of two that are as good, the study with more trials is flattered."
)


def _method(found: Sequence[dict[str, Any]]) -> str:
    """What the tests in the table are, and what they do not know."""
    used = {row["test"] for row in found}
    said = [text for name, text in _METHODS.items() if name in used]
    return " ".join([*said, _LIMIT] if said else [])


def draw(of: Sequence[Side], folder: Path) -> Path | None:
    """Write `folder`/best_over_time.png, of the studies with the leader's goal; None where no trial completed."""
    first = leader(of)
    shown = [side for side in of if first is not None and side.goal == first.goal and side.curve]
    if first is None or not shown:
        return None
    from matplotlib.figure import Figure  # late: it takes a while to import

    from search.reporting.plots import canvas

    path = folder / "best_over_time.png"
    with canvas.style():
        figure = Figure(figsize=(10, 4))
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, place, what in ((left, 0, "time since the first trial began"), (right, 1, "machine time")):
            longest = max(side.curve[-1][place] for side in shown)
            unit, size = ("h", 3600) if longest > 7200 else ("min", 60) if longest > 120 else ("s", 1)
            for side in shown:
                x, y = [point[place] / size for point in side.curve], [point[2] for point in side.curve]
                axes.plot(x, y, drawstyle="steps-post", marker=".", markevery=[-1], label=_label(side.study.study_name))
            axes.set(xlabel=f"{what}, {unit}")
            axes.set_xlim(left=0)
        left.set(ylabel=f"best {metric_of(first.study)} so far")
        right.legend()
        canvas.save(figure, path)
    return path


def _label(name: str) -> str:
    """A name that begins with _ would have no place in the legend."""
    return f" {name}" if name.startswith("_") else name


def write(of: Sequence[Side], folder: Path) -> tuple[Path, str]:
    """Write `folder`/<A>-vs-<B>.md and its picture; returns the page's path and the table in all."""
    found = rows(of)
    names = [side.study.study_name for side in of]
    name = file_name("-vs-".join(names))
    ranking = overall(found)
    parts = [f"# {escape_cell(' against '.join(names))}", ranking, _method(found)]
    picture = draw(of, folder / f"{name}_files")
    if picture is not None:
        reached = ", ".join(f"{row['study']} {_best(row)}" for row in found if row["best"] is not None)
        alt = f"best so far of each study over time and over machine time; in the end {reached}"
        parts.append(image(alt, picture.relative_to(folder)))
    for side in of:
        own = escape_cell(side.study.study_name)
        parts += [f"## {own}", table.markdown(side.study, Ties(), rows=TOP)]  # whose ties its own page has
    path = folder / f"{name}.md"
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")
    return path, ranking
