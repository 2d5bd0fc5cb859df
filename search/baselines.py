"""Hand-tuned rows: read from a CSV file, queued first where the space has them, ranked beside the trials."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search.errors import SearchError

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

    def to_json(self) -> dict[str, Any]:
        """As the study's attributes keep it."""
        return asdict(self)


# The notes name the layers that train; a config names those that do not.
_FROZEN = {"all": (), "classifier": ("features",), "features": ("classifier",)}


def read_baselines(path: Path) -> tuple[Baseline, ...]:
    """Read hand-tuned rows. Raises SearchError naming file, row and column of what is not understood."""
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines)
            missing = [column for column in _COLUMNS if column not in (reader.fieldnames or [])]
            if missing:
                raise SearchError(f"{path}: no column {missing[0]!r}; a baselines file has {', '.join(_COLUMNS)}")
            return tuple(_row(path, reader.line_num, row) for row in reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SearchError(f"{path}: the baselines cannot be read: {error}") from None


def _row(path: Path, line: int, row: dict[str, str]) -> Baseline:
    def number(column: str, kind: type = float) -> Any:
        try:
            return kind(row[column])
        except (TypeError, ValueError):
            raise SearchError(f"{path}:{line}: {column} = {row[column]!r} is no {kind.__name__}") from None

    if None in row.values():
        raise SearchError(f"{path}:{line}: fewer cells than the first line has names")
    if row["trained_layers"] not in _FROZEN:
        raise SearchError(f"{path}:{line}: trained_layers = {row['trained_layers']!r}; known are {', '.join(_FROZEN)}")
    settings = {column: number(column, kind) for column, kind in _NUMBERS.items()}
    settings["epochs"] = settings.pop("num_epochs")
    settings |= {
        "model": row["model"],
        "weights": "DEFAULT" if row["pretrained"].lower() == "true" else None,
        "frozen": _FROZEN[row["trained_layers"]],
    }
    train_loss, test_acc = (
        number(column) if row[column] else None for column in ("training_loss_at_last_step", "testing_acc")
    )
    return Baseline(row["name"], settings, train_loss, number("validation_acc"), test_acc)
