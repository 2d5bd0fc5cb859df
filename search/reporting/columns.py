"""The table's columns, in the users' own words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from search.analysis.statistics import wilson
from search.config import is_train_config

Config = Mapping[str, Any]


def number(value: Any, digits: int = 4) -> str:
    """A number as a reader wants it: four significant digits, no trailing zeros; anything else as text."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")
    return f"{value:.{digits}g}"


def accuracy(value: float | None, images: int | None = None) -> str:
    """A fraction to four places, with its 95% interval if it is one of so many images; empty if not measured."""
    if value is None:
        return ""
    right = value * images if images else math.nan
    if not images or not 0 <= value <= 1 or abs(right - round(right)) > 1e-3:  # of other images
        return f"{value:.4f}"
    low, high = wilson(round(right), images)
    return f"{value:.4f} ({low:.3f} to {high:.3f})"


def image(alt: str, target: Path) -> str:
    """A picture in Markdown: what it shows in words, and its path from the page."""
    words = re.sub(r"([\[\]<>&*_`\\])", r"\\\1", " ".join(alt.split()))
    return f"![{words}]({quote(target.as_posix())})"


def duration(seconds: float) -> str:
    """Seconds as a reader wants them: 8.3 s, 4 min 05 s, 2 h 10 min."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _model(config: Config) -> str:
    weights = config.get("weights")
    if weights is None:
        return str(config["model"])
    return f"{config['model']} ({'pretrained' if weights == 'DEFAULT' else number(Path(weights).name)})"


_SETTINGS: dict[str, tuple[str, Callable[[Config], str]]] = {
    "Model": ("model", _model),
    "frozen": ("frozen", lambda config: ", ".join(config["frozen"]) or "none"),
    "LR": ("lr", lambda config: number(config["lr"])),
    "MOMENTUM": ("momentum", lambda config: number(config["momentum"])),
    "WEIGHT_DECAY": ("weight_decay", lambda config: number(config["weight_decay"])),
    "NUM_EPOCHS": ("epochs", lambda config: number(config["epochs"])),
    "STEP_SIZE": ("step_size", lambda config: number(config["step_size"])),
    "GAMMA": ("gamma", lambda config: number(config["gamma"])),
}


def settings(config: Config, varied: Iterable[str] = ()) -> dict[str, str]:
    """Column to text for the settings of one trial.

    `varied`: names that the study searches; those without a column of their own get one.
    """
    if not is_train_config(config):
        return {name: number(value) for name, value in config.items()}
    known = {"weights", *(name for name, _ in _SETTINGS.values())}
    extra = {name: number(config[name]) for name in varied if name in config and name not in known}
    return {column: text(config) for column, (_, text) in _SETTINGS.items()} | extra


def results(
    metric: str,
    epoch: Mapping[str, Any],
    test_acc: float | None,
    trainer: bool,
    val_images: int | None = None,
    test_images: int | None = None,
) -> dict[str, str]:
    """Column to text for what the last epoch measured, and for the test split if it was looked at.

    `val_images`, `test_images`: how many each accuracy is a share of, where that is known.
    """
    if not trainer:
        return {metric: number(epoch.get(metric))}
    row = {"TRAINING LOSS AT LAST STEP": number(epoch.get("last_step_loss"))}
    if metric not in ("val_acc", "last_step_loss"):
        row[metric] = number(epoch.get(metric))
    return row | {
        "VALIDATION ACC": accuracy(epoch.get("val_acc"), val_images),
        "TESTING ACC": accuracy(test_acc, test_images),
    }
