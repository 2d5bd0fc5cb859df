"""Whether more or less of a metric is better, as its name says it; a name that says nothing is asked about."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, NoReturn

from search.errors import SearchError
from search.space.checks import place_of

Direction = Literal["minimize", "maximize"]

_WORD = re.compile(r"[^\s]+")
LESS = frozenset(
    _WORD.findall(
        "loss losses error errors err mse rmse rmsle mae mape smape msle nll bce ce crossentropy perplexity ppl bpc "
        "wer cer fid kid lpips brier ece eer regret cost time times duration latency seconds secs ms memory"
    )
)
"""The last words of metrics of which less is better."""
MORE = frozenset(
    _WORD.findall(
        "acc accuracy score scores f1 fbeta auc auroc roc auprc ap map precision recall sensitivity specificity r2 iou "
        "miou jaccard dice mcc kappa correlation pearson spearman bleu rouge meteor psnr ssim ndcg mrr reward rewards "
        "return returns likelihood elbo throughput"
    )
)
"""The last words of metrics of which more is better."""
_TURNS = frozenset(
    _WORD.findall(
        "neg negative minus inverse inverted inv no drop drops fall gain gains improvement reduction reduced decrease "
        "increase change delta diff difference gap in of to from per until without over vs"
    )
)
"""Words that may turn the meaning of others: a name with one says nothing."""
_ASIDE = frozenset(
    _WORD.findall(
        "mean avg average median macro micro weighted best last final total val valid validation test testing train "
        "training dev eval evaluation epoch top k at"
    )
)
"""Words after the one that counts, which say how it was measured: loss_val, acc_mean."""
_PARTS = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")


def direction_of(metric: str) -> Direction | None:
    """The direction that the metric's name settles: val_loss, meanAP, top1_acc. None: it settles none.

    The last word decides. A word of the other kind before it, or one that may turn it (`neg_mse`), leaves it open.
    """
    words = [word.lower() for word in _PARTS.findall(metric)]
    words = [word if word in LESS | MORE else word.rstrip("0123456789") for word in words]
    words = re.sub("cross entropy", "crossentropy", re.sub("(error|failure) rate", "error", " ".join(words))).split(" ")
    while words and (not words[-1] or words[-1] in _ASIDE):
        words.pop()
    if not words or _TURNS & set(words):
        return None
    less, more = bool(LESS & set(words)), bool(MORE & set(words))
    if less == more or words[-1] not in LESS | MORE:
        return None
    return "minimize" if less else "maximize"


def ask(where: str, metric: str) -> NoReturn:
    """Raise SearchError: the name of `metric`, which stands at `where`, settles no direction."""
    raise SearchError(
        f"{where}: metric = {metric!r} does not tell whether more or less of it is better: "
        'write direction = "maximize" or direction = "minimize"'
    )


def names_of(path: Path, metric: Any) -> list[str]:
    """The objectives that a space file calls `metric`: one, or several in a sequence. Raises SearchError."""
    names = [*metric] if isinstance(metric, (list, tuple)) else [metric]
    if not names or not all(isinstance(name, str) for name in names) or len({*names}) < len(names):
        raise SearchError(f"{path}: metric = {metric!r}; it must be of type str, or a tuple of different ones")
    return names


def goals_of(path: Path, names: list[str], direction: Any) -> dict[str, Direction]:
    """Each of the objectives and its direction; `direction`: what the file calls so, for all or for each.

    None: the names settle it. Raises SearchError.
    """
    said = [*direction] if isinstance(direction, (list, tuple)) else [direction] * len(names)
    if len(said) != len(names):
        raise SearchError(f"{path}: direction = {direction!r}; it must have one for each of {', '.join(names)}")
    if wrong := [word for word in said if word not in (None, "minimize", "maximize")]:
        raise SearchError(f"{path}: direction = {wrong[0]!r}; it must be 'minimize' or 'maximize'")
    return {
        name: word or direction_of(name) or ask(place_of(path, "metric"), name)
        for name, word in zip(names, said, strict=True)
    }


def verb(direction: str) -> str:
    """How a run names its direction: maximise or minimise."""
    return "minimise" if direction == "minimize" else "maximise"
