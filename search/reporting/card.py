"""The model card of a trained model: what it is, what it is worth, and how it is loaded.

Sections as Mitchell et al. propose: Model Cards for Model Reporting, arXiv 1810.03993.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from search.analysis import ties
from search.analysis.view import StudyView
from search.format import format_number, plural
from search.predictions import Predictions
from search.reporting.columns import accuracy, escape_cell
from search.reporting.sections import classes
from search.study import test_split
from search.study.attributes import TrialRecord, config_of, epoch_of

PAIRS = 10
"""At most so many pairs of classes are listed, the most frequent first."""


def card(view: StudyView, trial: FrozenTrial, *, source: str, code: str, sees: str, files: Sequence[str]) -> str:
    """The card as Markdown.

    `source`: where the weights come from; `code`: Python that loads them; `sees`: how a picture becomes an image;
    `files`: a line for each file beside the card.
    """
    config = config_of(trial)
    known = ties.predictions_of(view.name, trial)
    parts = [
        "---\npipeline_tag: image-classification\ntags:\n- image-classification\n- pytorch\n---",
        f"# {escape_cell(view.name)}: {escape_cell(config['model'])} on {escape_cell(config['dataset'])}",
        _summary(view, trial, config, known, source),
        "\n".join(files),
        "## What it is worth",
        _accuracies(view, trial, config),
        _classes(known),
        _confusion(known),
        "## The data",
        _data(view, trial, config),
        "## How a picture becomes its image",
        f"{sees[0].upper()}{sees[1:]}, after it is turned as its EXIF says. `search predict` does the same.",
        "## Loading it",
        f"With PyTorch alone:\n\n```python\n{code}\n```",
        "Or by this project, for files, folders and archives:\n\n```sh\nsearch predict DIR PICTURES\n```",
        "## The settings",
        _settings(config),
        "## Limits",
        _limits(view, known, config),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(
    view: StudyView, trial: FrozenTrial, config: dict[str, Any], known: Predictions | None, source: str
) -> str:
    done = sum(other.state == TrialState.COMPLETE for other in view.trials)
    weights = config.get("weights")
    began = "trained from scratch" if weights is None else f"fine-tuned from the weights {escape_cell(weights)}"
    classes = f" for {len(known.classes)} classes" if known is not None else ""
    which = "the best" if view.best is not None and trial.number == view.best.number else "one"
    return (
        f"An image classifier{classes}, {began}. It is trial {trial.number} of the study {escape_cell(view.name)}, "
        f"{which} of {plural(done, 'completed trial')} of {len(view.trials)}. "
        f"Its weights are those of {escape_cell(source)}, after the last epoch."
    )


def _accuracies(view: StudyView, trial: FrozenTrial, config: dict[str, Any]) -> str:
    images, test = ties.images_of(trial), test_split.of(view.study).get(str(trial.number))
    lines = [
        "| Split | Accuracy (95% interval) | Images |",
        "|:--|:--|:--|",
        f"| validation | {accuracy(epoch_of(trial).get('val_acc'), images)} | {images or ''} |",
    ]
    if test is not None:
        lines.append(f"| test | {accuracy(test['test_acc'], test.get('images'))} | {test.get('images') or ''} |")
    count = view.evaluations
    times = "never" if not count else "once" if count == 1 else f"{count} times"
    said = [f"The study was evaluated on the test split {times}."]
    if test is None:
        said.append("This trial was not.")
    seeds = next((row for row in view.confirmed if view.confirms is None and row.of == trial.number), None)
    if seeds is not None and seeds.test:
        low, high = min(seeds.test), max(seeds.test)
        said.append(
            f"With {plural(len(seeds.test), 'new seed')}, the same settings reach a mean test accuracy of "
            f"{mean(seeds.test):.4f}, from {low:.4f} to {high:.4f}."
        )
    return "\n".join(lines) + "\n\n" + " ".join(said)


def _classes(known: Predictions | None) -> str:
    """A row for each class of the validation split, that with the lowest recall first."""
    if known is None:
        return "How it does on each class is not known here: the trial's predictions are not in the run folder."
    return classes.of(known)


def _confusion(known: Predictions | None) -> str:
    if known is None:
        return ""
    count, table = len(known.classes), known.confusion
    np.fill_diagonal(table, 0)
    wrong, rows = int(table.sum()), []
    if not wrong:
        return "It makes no mistake on the validation images."
    for pair in np.argsort(-table, axis=None, kind="stable")[:PAIRS]:
        row, column = divmod(int(pair), count)
        if table[row, column]:
            names = (escape_cell(known.classes[label]) for label in (row, column))
            rows.append(f"| {' | '.join(names)} | {table[row, column]} |")
    head = ["| Is | Is called | Images |", "|:--|:--|:--|"]
    return f"The most frequent of its {wrong} mistakes there:\n\n" + "\n".join([*head, *rows])


def _data(view: StudyView, trial: FrozenTrial, config: dict[str, Any]) -> str:
    stored: Mapping[str, Any] = view.record.data.get(config["dataset"]) or {}
    name, fingerprint = escape_cell(config["dataset"]), TrialRecord(trial).data
    found = stored.get("images")
    images = found if isinstance(found, Mapping) else {}
    counts = [f"{images[split]:,} of {word}" for split, word in _SPLITS.items() if images.get(split)]
    said = f"{name}: {', '.join(counts)} images" if counts else f"{name}; how many images is not recorded"
    said += f" in {len(stored['classes'])} classes." if stored.get("classes") else "."
    if config.get("subset"):
        said += f" It was trained on {config['subset']:,} of the training images, class by class in proportion."
    if fingerprint:
        said += f" Fingerprint of the data: `{fingerprint}`."
    return said


_SPLITS = {"train": "training", "val": "validation", "test": "test"}


def _settings(config: dict[str, Any]) -> str:
    rows = [f"| {name} | {escape_cell(_text(value))} |" for name, value in config.items() if value not in (None, ())]
    return "\n".join(["| Setting | Value |", "|:--|:--|", *rows])


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, (list, tuple)) else format_number(value, 6)


def _limits(view: StudyView, known: Predictions | None, config: dict[str, Any]) -> str:
    done = len(view.done)
    lines = [
        f"- Its validation accuracy is the best of {done}, "
        "and so is a little too good. The test split took no part in the choice."
        if done > 1
        else "- Its validation accuracy is that of the only completed trial.",
        "- It knows no class but these, and calls every picture one of them. With a threshold, `search predict` "
        "names none of which it is unsure.",
        "- Its probabilities are those of a softmax, and are not calibrated.",
        "- The figures hold for pictures like those of the data set. Others, of another camera or place, it has not "
        "seen.",
        f"- They were measured in {TrialRecord(view.best).ran_on.get('precision', 'the precision of the run')}; the "
        "lines above run it in fp32."
        if view.best is not None
        else "",
    ]
    return "\n".join(line for line in lines if line)
