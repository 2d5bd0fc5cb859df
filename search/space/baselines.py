"""Hand-tuned rows: read from a CSV file, queued first where the space has them, ranked beside the trials."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.config import check_value
from search.errors import SearchError, first_line

_NUMBERS = {"lr": float, "momentum": float, "weight_decay": float, "num_epochs": int, "step_size": int, "gamma": float}
_RESULTS = ["training_loss_at_last_step", "validation_acc", "testing_acc"]
_COLUMNS = ["name", "model", "pretrained", "trained_layers", *_NUMBERS, *_RESULTS]


@dataclass(frozen=True)
class Baseline:
    """One hand-tuned row: its settings by TrainConfig's names, and what it measured (losses in nats, fractions)."""

    name: str
    settings: dict[str, Any]
    train_loss: float | None
    val_acc: float
    test_acc: float | None


# A row names the layers that train; a config names those that do not.
_FROZEN = {"all": (), "classifier": ("features",), "features": ("classifier",)}


def read_baselines(path: Path) -> tuple[Baseline, ...]:
    """Read hand-tuned rows. Raises SearchError naming file, row and column of what is not understood."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:  # with the mark that Excel begins a file with
            reader = csv.DictReader(lines)
            twice = [name for name, count in Counter(reader.fieldnames or []).items() if count > 1]
            if twice:
                raise SearchError(f"{path}: two columns {twice[0]!r}")
            missing = [column for column in _COLUMNS if column not in (reader.fieldnames or [])]
            if missing:
                raise SearchError(f"{path}: no column {missing[0]!r}; a baselines file has {', '.join(_COLUMNS)}")
            return tuple(_row(path, reader.line_num, row) for row in reader)
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise SearchError(f"{path}: the baselines cannot be read: {first_line(error)}") from None


def _row(path: Path, line: int, row: dict[str, str]) -> Baseline:
    def number(column: str, kind: type = float) -> Any:
        try:
            return kind(row[column])
        except (TypeError, ValueError):
            raise SearchError(f"{path}:{line}: {column} = {row[column]!r} is no {kind.__name__}") from None

    if None in row.values() or None in row:
        raise SearchError(f"{path}:{line}: {'more' if None in row else 'fewer'} cells than the first line has names")
    if row["pretrained"].lower() not in ("true", "false"):
        raise SearchError(f"{path}:{line}: pretrained = {row['pretrained']!r}; it must be true or false")
    if row["trained_layers"] not in _FROZEN:
        raise SearchError(f"{path}:{line}: trained_layers = {row['trained_layers']!r}; known are {', '.join(_FROZEN)}")
    settings = {column: number(column, kind) for column, kind in _NUMBERS.items()}
    settings["epochs"] = settings.pop("num_epochs")
    settings |= {
        "model": row["model"],
        "weights": "DEFAULT" if row["pretrained"].lower() == "true" else None,
        "frozen": _FROZEN[row["trained_layers"]],
    }
    for name, value in settings.items():
        try:
            check_value(name, value)
        except SearchError as error:
            raise SearchError(f"{path}:{line}: {error}") from None
    found: dict[str, Any] = {
        column: number(column) if row[column] or column == "validation_acc" else None for column in _RESULTS
    }
    for column, value in found.items():
        if value is not None and not 0 <= value <= (1 if column.endswith("acc") else sys.float_info.max):
            what = "an accuracy, as a fraction" if column.endswith("acc") else "a loss"
            raise SearchError(f"{path}:{line}: {column} = {row[column]!r} is not {what}")
    return Baseline(row["name"], settings, *(found[column] for column in _RESULTS))
