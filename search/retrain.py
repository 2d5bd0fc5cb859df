"""`search train`: a best config, trained again from nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path

from optuna.study import Study
from torch import cuda, nn

from search.config import Epoch
from search.errors import NothingCompleted, SearchError
from search.export import Best, read_best
from search.report import page
from search.study import load_study
from search.train import evaluate_test, train
from search.train.checkpoint import save
from search.train.trainer import Diverged

Say = Callable[[str], None]


def retrain(path: Path, storage: str, data_root: Path, cache_size: int, say: Say) -> None:
    """Train the config of the YAML at `path`; `say` its epochs, validation and, once, test accuracy.

    Trains on the device and with the threads that the YAML records, so that on the same machine the trial's
    number comes out again. Writes the model as safetensors beside `path`. If the study is in `storage`, keeps
    the test accuracy there and writes its report anew.
    """
    best = read_best(path)
    device, threads = best.ran_on.get("device", "auto"), best.ran_on.get("threads")
    if device == "cuda" and not cuda.is_available():
        say("the trial ran on a GPU and none is here: training on the CPU; the numbers may differ a little")
        device, threads = "auto", None
    epochs = train(best.config, data_root, device, threads if isinstance(threads, int) else None, cache_size, say)
    try:
        last, model = _follow(epochs, best.config.epochs, say)
    except Diverged as error:
        raise NothingCompleted(f"{path}: {error}") from None
    say(f"validation accuracy {last.val_acc:.4f}{_against(best, last)}")
    test_acc = evaluate_test(model, best.config, data_root, device)
    say(f"test accuracy       {test_acc:.4f}")
    model_path = path.with_suffix(".safetensors")
    save(model, best.config, model_path)
    say(f"wrote {model_path}")
    study = _study(best, storage)
    if study is not None:
        looked = {"test_acc": test_acc, "val_acc": last.val_acc, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        tests = study.user_attrs.get("tests", {})
        study.set_user_attr("tests", tests | {str(best.trial): looked})
        say(f"wrote {page.write(study, path.parent)}")


def _follow(epochs: Generator[Epoch, None, nn.Module], total: int, say: Say) -> tuple[Epoch, nn.Module]:
    """Draw every epoch, saying each; the last one and the model."""
    last: Epoch | None = None
    while True:
        try:
            last = next(epochs)
        except StopIteration as end:
            assert last is not None  # a config has at least one epoch
            return last, end.value
        say(
            f"epoch {last.epoch}/{total}  training loss {last.train_loss:.4f}  validation loss {last.val_loss:.4f}  "
            f"validation accuracy {last.val_acc:.4f}  lr {last.lr:.3g}  {last.seconds:.1f} s"
        )


def _against(best: Best, last: Epoch) -> str:
    """How the number compares with the trial's."""
    again = getattr(last, best.metric, None)
    if best.value is None or again is None:
        return ""
    if again == best.value:
        return f", exactly trial {best.trial}'s {best.metric}"
    return f" (trial {best.trial} had {best.metric} {best.value:.4f}; device, threads or versions may differ)"


def _study(best: Best, storage: str) -> Study | None:
    """The study that the config comes from, if it is in `storage`."""
    try:
        study = load_study(storage, best.study)
    except SearchError:
        return None
    trials = study.get_trials(deepcopy=False)
    same = best.trial < len(trials) and trials[best.trial].value == best.value
    return study if same else None  # not a study that was made anew under the same name
