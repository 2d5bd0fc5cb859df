"""The table's columns, in the users' own words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from optuna.trial import FrozenTrial

from search.analysis.cost import gpu_hours, machine_seconds, seconds_an_epoch, taken
from search.analysis.statistics import wilson
from search.config import is_train_config
from search.errors import SearchError, nearest, option, visible
from search.format import duration, format_number, layers, measured
from search.metrics.registry import MEASURES
from search.study.attributes import epoch_of

Config = Mapping[str, Any]


TEST = "TESTING ACC"
TIE = "AGAINST THE FIRST"


def escape_cell(value: Any) -> str:
    """A number or text as it can stand in Markdown and in a cell of its tables: on one line, with nothing that acts.

    No HTML, link, formula, emphasis or entity. A backslash before punctuation is doubled: it would take the next one's
    meaning away.
    """
    shown = visible(" ".join(format_number(value).split("\n")))
    return _ACTS.sub(r"\\\g<0>", shown)


_ACTS = re.compile(
    r"\\(?![a-zA-Z0-9\s])|[|<$*`]|~(?=~)|\](?=[(\[])|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])"  # a_b is no emphasis
)


def unescaped(cell: str) -> str:
    """What `escape_cell` was given, on one line."""
    return re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", cell)


def code_span(name: str) -> str:
    """A name as code in Markdown, where a backslash escapes nothing."""
    shown = visible(name)
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    space = " " if shown[:1] == "`" or shown[-1:] == "`" else ""
    return f"{fence}{space}{shown}{space}{fence}"


def accuracy(value: float | None, images: int | None = None) -> str:
    """A fraction to four places, with its 95% interval if it is one of so many images; empty if not measured."""
    if value is None:
        return ""
    right = value * images if images else math.nan
    if not images or not 0 <= value <= 1 or abs(right - round(right)) > 1e-3:  # of other images
        return f"{value:.4f}"
    low, high = wilson(round(right), images)
    return f"{value:.4f} ({low:.3f} to {high:.3f})"


def with_interval(value: float, interval: tuple[float, float]) -> str:
    """A measure and its 95% interval."""
    return f"{measured(value)} ({interval[0]:.3f} to {interval[1]:.3f})"


def image(alt: str, target: Path) -> str:
    """A picture in Markdown: what it shows in words, and its path from the page."""
    words = re.sub(r"([\[\]<>&*_`\\])", r"\\\1", " ".join(alt.split()))
    return f"![{words}]({quote(target.as_posix())})"


def _model(config: Config) -> str:
    weights = config.get("weights")
    if weights is None:
        return str(config["model"])
    return f"{config['model']} ({'pretrained' if weights == 'DEFAULT' else escape_cell(Path(weights).name)})"


_SETTINGS: dict[str, tuple[str, Callable[[Config], str]]] = {
    "Model": ("model", _model),
    "frozen": ("frozen", lambda config: escape_cell(layers(config["frozen"]) or "none")),
    "LR": ("lr", lambda config: format_number(config["lr"])),
    "MOMENTUM": ("momentum", lambda config: format_number(config["momentum"])),
    "WEIGHT_DECAY": ("weight_decay", lambda config: format_number(config["weight_decay"])),
    "NUM_EPOCHS": ("epochs", lambda config: format_number(config["epochs"])),
    "STEP_SIZE": ("step_size", lambda config: format_number(config["step_size"])),
    "GAMMA": ("gamma", lambda config: format_number(config["gamma"])),
}


OURS = ("Rank", "Trial", "CODE", TIE)
"""Columns that are no setting's and no metric's."""


def settings(config: Config, varied: Iterable[str] = (), metrics: Iterable[str] = ()) -> dict[str, str]:
    """Column to text for the settings of one trial.

    `varied`: names that differ between trials; those without a column of their own get one. `metrics`: of the table; a
    setting of a train() of one's own that is called like one of them, or like another column, has that in its name.
    """
    if not is_train_config(config):
        taken = {*OURS, *metrics, *(title for title, _ in COLUMNS.values())}
        return {f"{n} (setting)" if n in taken else n: escape_cell(value) for n, value in config.items()}
    known = {"weights", *(name for name, _ in _SETTINGS.values())}
    extra = {name: escape_cell(config[name]) for name in varied if name in config and name not in known}
    return {column: text(config) for column, (_, text) in _SETTINGS.items()} | extra


_WORDS: dict[str, str] = {
    "Model": "the model {}",
    "LR": "learning rate {}",
    "MOMENTUM": "momentum {}",
    "WEIGHT_DECAY": "weight decay {}",
    "NUM_EPOCHS": "{} epochs",
    "STEP_SIZE": "step size {}",
    "GAMMA": "gamma {}",
    "CODE": "the code {}",
}


def in_words(settings: Mapping[str, str], rows: int) -> str:
    """Columns that are the same in so many `rows`, as a sentence; empty if there are none with a text."""
    said = [
        "no layer frozen" if (name, text) == ("frozen", "none") else _WORDS.get(name, f"{escape_cell(name)} {{}}")
        for name, text in settings.items()
        if text
    ]
    texts = [text for text in settings.values() if text]
    parts = [part.replace("{}", text) for part, text in zip(said, texts, strict=True)]
    parts = ["1 epoch" if part == "1 epochs" else part for part in parts]
    return f"{'The same in all rows' if rows > 1 else 'Its settings'}: {', '.join(parts)}." if parts else ""


def results(
    metric: str,
    epoch: Mapping[str, Any],
    test_acc: float | None,
    trainer: bool,
    val_images: int | None = None,
    test_images: int | None = None,
) -> dict[str, str]:
    """Column to text for what the last epoch measured, and for the test split if it was evaluated.

    `val_images`, `test_images`: how many each accuracy is a share of, where that is known.
    """
    if not trainer:
        return {metric: escape_cell(epoch.get(metric))}
    row = {"TRAINING LOSS AT LAST STEP": format_number(epoch.get("last_step_loss"))}
    if metric not in ("val_acc", "last_step_loss"):
        row[metric] = escape_cell(epoch.get(metric))
    return row | {
        "VALIDATION ACC": accuracy(epoch.get("val_acc"), val_images),
        TEST: accuracy(test_acc, test_images),
    }


def _cell(measure: Callable[[FrozenTrial], float | None], show: Callable[[float], str]) -> Callable[[FrozenTrial], str]:
    def text(trial: FrozenTrial) -> str:
        value = measure(trial)
        return "" if value is None else show(value)

    return text


def _taken(what: str, show: Callable[[float], str]) -> Callable[[FrozenTrial], str]:
    return _cell(lambda trial: taken(trial, what), show)


def _epochs(name: str, trial: FrozenTrial) -> float | None:
    """What the last epoch measured under that name."""
    value = epoch_of(trial).get(name)
    return value if isinstance(value, float) else None


COLUMNS: dict[str, tuple[str, Callable[[FrozenTrial], str]]] = {
    "epoch-time": ("TIME AN EPOCH", _cell(seconds_an_epoch, lambda s: f"{format_number(s, 3)} s")),
    "machine-time": ("MACHINE TIME", _cell(machine_seconds, duration)),
    "gpu-hours": ("GPU-HOURS", _cell(gpu_hours, lambda hours: format_number(hours, 3))),
    "memory": ("PEAK GPU MEMORY (MB)", _taken("peak_memory", lambda count: f"{count / 1e6:.0f}")),
    "parameters": ("PARAMETERS", _taken("parameters", lambda count: f"{count:,.0f}")),
    "trainable": ("TRAINABLE", _taken("trainable", lambda count: f"{count:,.0f}")),
    "mb": ("MB", _taken("megabytes", lambda size: format_number(size, 3))),
    "latency": ("LATENCY (MS)", _taken("latency_ms", lambda ms: format_number(ms, 3))),
}
"""What `--columns` takes: the column's title and a trial's cell, which is empty where the trial did not record it."""

COLUMNS |= {
    known.title.lower().replace(" ", "-"): (known.title, _cell(partial(_epochs, name), measured))
    for name, known in MEASURES.items()
}

ALL = "cost"
_COST = ("epoch-time", "machine-time", "gpu-hours", "memory", "parameters", "trainable", "mb", "latency")


def column_names(words: str) -> list[str]:
    """The columns that `words`, such as ``parameters,latency`` or ``cost`` for all, asks for. Raises SearchError."""
    names = [word.strip() for word in words.split(",") if word.strip()]
    for name in names:
        if name not in COLUMNS and name != ALL:
            raise SearchError(f"{option('columns', name)}: no such column{nearest(name, {*COLUMNS, ALL})}")
    return list(_COST) if ALL in names else list(dict.fromkeys(names))


def cells(trial: FrozenTrial, names: Iterable[str]) -> dict[str, str]:
    """Title to text of those columns, for one trial."""
    return {COLUMNS[name][0]: COLUMNS[name][1](trial) for name in names}
