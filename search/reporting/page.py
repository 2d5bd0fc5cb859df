"""The report of a study: reports/<study>.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.analysis import confirmation, ties
from search.analysis.cost import cost
from search.analysis.importance import Effect, effects
from search.analysis.ties import Ties
from search.engine.failures import BY_HAND
from search.files.atomic import file_name, write_text
from search.format import duration, format_number
from search.reporting import table
from search.reporting.columns import accuracy, escape_cell
from search.reporting.sections.gains import comments
from search.study.study import config_of, epoch_of, metric_of, metrics_of, ranked, value_of


def render(
    study: Study,
    tested: Ties | None = None,
    ranking: str | None = None,
    found: Mapping[str, Effect] | None = None,
    pictures: Sequence[str] = (),
) -> str:
    """The whole page, as Markdown. `tested`, `ranking`, `found`: ties, table and effects, if they are made already.

    `pictures`: the sections that show them.
    """
    if confirmation.confirms(study) is not None:
        return _of_seeds(study)
    trials, tested = study.get_trials(deepcopy=False), ties.find(study) if tested is None else tested
    parts = [f"# {escape_cell(study.study_name)}", _head(study, trials), ranking or table.markdown(study, tested)]
    parts += [ties.sentence(study, tested), _counts(trials) + _ended(study), confirmation.said_of_looks(study)]
    parts += comments(study, found)
    if study.user_attrs.get("baselines"):
        parts.append("Rows marked *hand-tuned* are not trials of this study: their numbers are those they came with.")
    parts += [_failures(trials), *_confirmed(study), *pictures]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(study: Study, trials: list[FrozenTrial]) -> str:
    best = ranked(study)[:1]
    metric = metric_of(study)
    if len(study.directions) > 1:
        goals = ", ".join(
            f"{name} ({direction.name.lower()})"
            for name, direction in zip(metrics_of(study), study.directions, strict=True)
        )
        which = "No trial completed." if not best else "Listed are the trials that no other beats in all of them."
        return f"The study has {len(study.directions)} objectives: {goals}. {which}"
    if not best:
        return f"No trial completed, so there is no best {metric}."
    value = value_of(best[0])
    if value is None:
        return f"No completed trial has a number for its {metric}, so there is no best."
    ran_on = best[0].user_attrs.get("ran_on", {})
    where = f", on {ran_on['device']} ({ran_on['device_name']}) in {ran_on['precision']}" if ran_on else ""
    images = ties.images_of(best[0]) if metric == "val_acc" else None
    sure = accuracy(value, images).partition(" (")[2].rstrip(")")
    sure = f" (95% interval {sure}, {images} images)" if sure else ""
    return f"Best {metric}: **{value:.4f}**{sure}, trial {best[0].number}{where}, measured at its last epoch."


def _counts(trials: list[FrozenTrial]) -> str:
    counts, spent = Counter(trial.state for trial in trials), cost(trials)
    waiting = counts[TrialState.WAITING] + counts[TrialState.RUNNING]
    ran = len(trials) - waiting
    text = (
        f"{ran} trials ran: {counts[TrialState.COMPLETE]} completed, {counts[TrialState.PRUNED]} were pruned, "
        f"{counts[TrialState.FAIL]} failed"
    )
    text += f"; {waiting} are under way or wait in the queue" if waiting else ""
    text += f". Machine time: {duration(spent.spent)} spent, {duration(spent.saved)} saved by pruning."
    if spent.gpu_hours:
        text += (
            f" GPU-hours: {format_number(spent.gpu_hours, 3)} spent, {format_number(spent.gpu_hours_saved, 3)} saved."
        )
    return text


def _ended(study: Study) -> str:
    """Which limit ended the last run, if one did before the study had all its trials."""
    why = study.user_attrs.get("ended")
    return f" The last run ended early: {why}." if why and isinstance(why, str) else ""


def _confirmed(study: Study) -> list[str]:
    """The section of what `search confirm` found, if it ran."""
    found = confirmation.rows(study)
    if not found:
        return []
    return ["## Confirmed", _NEW_SEEDS, confirmed_table(found), confirmation.verdict(study, found)]


_NEW_SEEDS = (
    "Trained again with seeds that the search did not use: mean ± standard deviation (least to greatest) over the "
    "seeds, of the accuracy after the last epoch."
)


def confirmed_table(found: Sequence[confirmation.Row]) -> str:
    """What was confirmed, as a Markdown table."""
    return table.listing(confirmation.cells(found))


def _of_seeds(study: Study) -> str:
    """The page of a study that confirms another."""
    trials, name = study.get_trials(deepcopy=False), confirmation.confirms(study) or ""
    original = confirmation.sibling(study, name)
    found = confirmation.rows_of_seeds(study)
    parts = [f"# {escape_cell(study.study_name)}", f"New seeds for the leaders of the study {escape_cell(name)}."]
    parts += [_NEW_SEEDS, confirmed_table(found)] if found else ["Nothing is confirmed yet."]
    parts += [confirmation.verdict(original, found) if original is not None else "", _counts(trials)]
    parts += ["## Seed by seed", table.listing(_seeds(study))] if trials else []
    return "\n\n".join(part for part in [*parts, _failures(trials)] if part) + "\n"


def _seeds(made: Study) -> list[dict[str, Any]]:
    """Every training of a study that confirms another: column to value."""
    return [
        {
            "Trial": trial.number,
            "Config": confirmation.Row(trial.user_attrs.get("of", ""), trial.user_attrs.get("baseline")).label,
            "seed": config_of(trial).get("seed"),
            "state": trial.state.name.lower(),
            "VALIDATION ACC": accuracy(epoch_of(trial).get("val_acc"), trial.user_attrs.get("val_images")),
            "TESTING ACC": accuracy(looked.get("test_acc"), looked.get("images")),
        }
        for trial in made.get_trials(deepcopy=False)
        for looked in [trial.user_attrs.get("test", {})]
    ]


def _failures(trials: list[FrozenTrial]) -> str:
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    lines = [f"- trial {trial.number}: {_why(trial)}" for trial in failed[:20]]
    if len(failed) > 20:
        lines.append(f"- and {len(failed) - 20} more")
    return "\n".join(["Failed trials:", "", *lines]) if failed else ""


def _why(trial: FrozenTrial) -> str:
    """Why a trial is FAIL: the driver says so of each that it fails, and had no part in any other that it began."""
    began = "config" in trial.user_attrs
    return str(trial.user_attrs.get("error") or (BY_HAND if began else "no reason recorded"))


def write(study: Study, folder: Path, tested: Ties | None = None, ranking: str | None = None) -> Path:
    """Write the page to `folder`/<study>.md, whole or not at all, and its pictures beside it; returns its path."""
    from search.reporting import gallery
    from search.reporting.plots import plots  # late: matplotlib takes a second to import

    name = file_name(study.study_name)
    tested, found = ties.find(study) if tested is None else tested, effects(study)
    pictures = plots.write(study, found, folder / f"{name}_files")
    mistakes = gallery.write(study, tested, folder / f"{name}_gallery")
    write_text(folder / f"{name}.md", render(study, tested, ranking, found, (pictures, mistakes)))
    return folder / f"{name}.md"


def write_with_table(study: Study, folder: Path, extra: Sequence[str] = ()) -> tuple[Path, str]:
    """Write the page; returns its path and the ranked table, which is made once for both.

    `extra`: more columns, names of `cost.COLUMNS`. Of a study that confirms another the table is that of what is
    confirmed, for its best seed is no better.
    """
    if confirmation.confirms(study) is not None:
        found = confirmation.rows_of_seeds(study)
        return write(study, folder), confirmed_table(found) if found else "Nothing is confirmed yet."
    tested = ties.find(study)
    ranking = table.markdown(study, tested, extra)
    return write(study, folder, tested, ranking), ranking
