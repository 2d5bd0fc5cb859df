"""Whether more or less of a metric is better, as its name says it; a name that says nothing is asked about."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

from optuna.pruners import NopPruner

from search.config import COSTS, Epoch
from search.errors import SearchError, nearest, option
from search.space.checks import CELLS, check_word, place_of, saying

Direction = Literal["minimize", "maximize"]

_WORD = re.compile(r"[^\s]+")
LESS = frozenset(
    _WORD.findall(
        "loss losses error errors err mse rmse rmsle mae mape smape msle nll bce ce crossentropy logloss huber hinge "
        "perplexity ppl bpc wer cer fid kid lpips brier ece eer regret cost time times duration latency seconds secs "
        "ms memory mb"
    )
)
"""Metrics of which less is better."""
MORE = frozenset(
    _WORD.findall(
        "acc accuracy score scores f1 fbeta auc auroc roc auprc ap map precision recall sensitivity specificity r2 "
        "iou miou jaccard dice mcc kappa correlation pearson spearman bleu rouge meteor psnr ssim ndcg mrr reward "
        "rewards return returns likelihood elbo throughput"
    )
)
"""Metrics of which more is better."""
SHARES = MORE - frozenset(_WORD.findall("score scores psnr reward rewards return returns likelihood elbo throughput"))
"""Of these, those that end at 1, where they are no percentages."""
BESIDE = frozenset(
    _WORD.findall(
        "val valid validation test testing train training dev eval evaluation holdout oof "
        "mean avg average median macro micro weighted balanced best last final total max min worst ema cv fold folds "
        "epoch step batch top k at running overall global smoothed inference wall gpu cpu peak "
        "binary multiclass categorical squared absolute root log percentage word character char pixel cohen focal l1 l2"
    )
)
"""Words beside the one that counts, which turn no meaning: where, how and over what it was measured, and its kind."""
_SPLITS = frozenset(_WORD.findall("val valid validation test testing train training dev eval evaluation holdout"))
"""Of these a name has one: train-val_loss may be a difference."""
_WIDE = frozenset(_WORD.findall("loss losses error errors err cost ms seconds secs mb score scores"))
"""Words that may stand beside another metric of the same direction, as in mse_loss, f1_score and latency_ms."""
_COUNTED = frozenset(_WORD.findall("top at fold folds cv epoch step k"))
"""Words after which a number within a name counts."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([_ /.@-][A-Za-z0-9]+)*")
_PARTS = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")
_ONE = {
    r"cross entropy": "crossentropy",
    r"(error|failure) rate": "error",
    r"roc auc|auc roc": "auc",
    r"average precision|avg precision": "ap",
}
"""Several words that mean one metric."""


def direction_of(metric: str) -> Direction | None:
    """The direction that the metric's name settles: val_loss, meanAP, top1_acc. None: it settles none.

    The name consists of one metric of the lists, and of words and numbers beside it that turn no meaning. A sign, an
    operator or any other word leaves it open: -loss, 1-acc, neg_mse, std_acc.
    """
    if not _NAME.fullmatch(metric):
        return None
    text = " ".join(_words_of(metric))
    for several, one in _ONE.items():
        text = re.sub(rf"\b({several})\b", one, text)
    words = text.split(" ")
    inner = [
        word for word, before in zip(words[1:-1], words, strict=False) if word.isdigit() and before not in _COUNTED
    ]
    found = [word for word in words if word in LESS | MORE]
    others = [word for word in words if word not in LESS | MORE | BESIDE and not word.isdigit()]
    narrow, wide = [word for word in found if word not in _WIDE], [word for word in found if word in _WIDE]
    splits = [word for word in words if word in _SPLITS]
    if inner or others or not found or max(map(len, (narrow, wide, splits))) > 1:
        return None
    less, more = bool(LESS & set(found)), bool(MORE & set(found))
    return None if less == more else "minimize" if less else "maximize"


def is_share(metric: str) -> bool:
    """Whether the metric, where it is no percentage, ends at 1, as its name says it: val_acc, f1_score."""
    return not SHARES.isdisjoint(_words_of(metric))


def _words_of(metric: str) -> list[str]:
    return [word for part in re.split(r"[_ /.@-]", metric) for word in _words(part)]


def _words(part: str) -> list[str]:
    """The words of a part of a name without separators: top1, mAP50, valLoss, fid50k."""
    known = LESS | MORE | BESIDE
    for word in (part.lower(), re.sub(r"\d+k?$", "", part.lower())):
        if word in known:
            return [word]
    words = [word.lower() for word in _PARTS.findall(part)]
    return [word if word in known or word.isdigit() else word.rstrip("0123456789") for word in words]


def ask(path: Path, called: str, metric: str) -> NoReturn:
    """Raise SearchError: the name of `metric`, which the file calls `called`, settles no direction."""
    of_call = path.suffix == CELLS
    said = option(called, repr(metric)) if of_call else f"{place_of(path, called)}: metric = {metric!r}"
    equals = "=" if of_call else " = "
    raise SearchError(
        f"{said} does not tell whether more or less of it is better: "
        f'write direction{equals}"maximize" or direction{equals}"minimize"'
    )


def goals(path: Path, found: Mapping[str, Any]) -> dict[str, Direction]:
    """Each objective of the space file at `path` and its direction, the metric first. Raises SearchError.

    `found`: the names of the file. It says `metric`, or `objectives` for several.
    """
    if {"metric", "objectives"} <= found.keys():
        raise SearchError(f"{path}: metric and objectives are two names for one thing: leave one of them out")
    said = "objectives" if "objectives" in found else "metric"
    names = _names_of(path, said, found.get(said, "val_acc"))
    for name in names:
        check_word(option(said) if path.suffix == CELLS else str(path), "the metric", name)
    if found.get("train") is None:
        _check_measured(path, said, names)
    pruner = found.get("pruner")
    if len(names) > 1 and pruner is not None and not getattr(pruner, "ranks_several", isinstance(pruner, NopPruner)):
        why = "this pruner compares one metric; search.ASHA ranks several"
        raise SearchError(f"{saying(path, said, found[said])}: {why}")
    return goals_of(path, names, found.get("direction"), said)


def _names_of(path: Path, said: str, metric: Any) -> list[str]:
    """The objectives that a space file calls `metric`: one, or several in a sequence. Raises SearchError."""
    names = [*metric] if isinstance(metric, (list, tuple)) else [metric]
    if not names or not all(isinstance(name, str) for name in names) or len({*names}) < len(names):
        raise SearchError(f"{saying(path, said, metric)}; it must be of type str, or a tuple of different ones")
    return names


def _check_measured(path: Path, said: str, names: list[str]) -> None:
    """Raise SearchError for objectives that the built-in training does not measure."""
    known = Epoch.measures()
    for name in names:
        if name not in known | COSTS.keys():
            near = nearest(name, known | (COSTS.keys() if len(names) > 1 else set()))
            raise SearchError(f"{saying(path, said, name)} is not measured{near}")
    if names[0] in COSTS:
        why = "it is known before the training, so name first what the training measures"
        raise SearchError(f'{saying(path, said, names[0])}: {why}, as in objectives = ("val_acc", "{names[0]}")')


def limits(path: Path, found: Mapping[str, Any]) -> dict[str, float]:
    """What the space file calls `limits`: the most that a point may take of a cost. Raises SearchError."""
    given, place = found.get("limits", {}), place_of(path, "limits")
    if given and found.get("train") is not None:
        why = "only the size of our own models is known beforehand; raise optuna.TrialPruned in train()"
        raise SearchError(f"{place}: limits = {given!r}: {why}")
    if not isinstance(given, Mapping):
        raise SearchError(f"{place}: limits = {given!r}; it must be like dict(mb=20, latency_ms=30)")
    for name, most in given.items():
        if name not in COSTS:
            raise SearchError(f"{place}: limits: {name!r} is no cost{nearest(str(name), {*COSTS})}")
        if isinstance(most, bool) or not isinstance(most, (int, float)) or not 0 < most < math.inf:
            raise SearchError(f"{place}: limits: {name}={most!r}; it must be a number above 0")
    return {name: float(most) for name, most in given.items()}


def goals_of(path: Path, names: list[str], direction: Any, called: str = "metric") -> dict[str, Direction]:
    """Each of the objectives and its direction; `direction`: what the file calls so, for all or for each;
    `called`: what it calls the objectives.

    None: the names settle it. Raises SearchError.
    """
    said = [*direction] if isinstance(direction, (list, tuple)) else [direction] * len(names)
    if len(said) != len(names):
        raise SearchError(f"{saying(path, 'direction', direction)}; it must have one for each of {', '.join(names)}")
    if wrong := [word for word in said if word not in (None, "minimize", "maximize")]:
        raise SearchError(f"{saying(path, 'direction', wrong[0])}; it must be 'minimize' or 'maximize'")
    return {name: word or direction_of(name) or ask(path, called, name) for name, word in zip(names, said, strict=True)}


def verb(direction: str) -> str:
    """How a run names its direction: maximise or minimise."""
    return "minimise" if direction == "minimize" else "maximise"
