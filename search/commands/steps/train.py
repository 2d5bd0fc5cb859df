"""`search train`: a best config, trained again from nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from optuna.study import Study
from rich.console import Console
from torch import cuda, nn

from search.analysis.statistics import next_draw, wilson
from search.analysis.view import StudyView
from search.commands.steps.export import Best
from search.commands.steps.launch import decoding
from search.config import Epoch, TrainConfig
from search.data.base import NoTestSplit
from search.data.identity import Identity
from search.doctor.preflight import decode
from search.engine.failures import reason
from search.errors import NothingCompleted, SearchError
from search.format import measured
from search.reporting import page
from search.study import test_split
from search.study.attributes import StudyRecord
from search.study.study import load_study
from search.train import evaluate_test, train
from search.train.device import cores, resolve_runtime
from search.train.weights import save

Say = Callable[[str], None]


def retrain(
    path: Path, best: Best, storage: str, data_root: Path, cache_size: int, say: Say, verify: bool = False
) -> bool:
    """Train `best`, the config of the YAML at `path`; `say` its epochs, validation and, once, test accuracy.

    Trains on the device and with the threads that the YAML records, so that on the same machine the trial's
    number comes out again. Writes the model as safetensors beside `path`. If the study is in `storage`, keeps
    the test accuracy there and writes its report anew. With `verify`, says instead whether the number is reproduced,
    and returns that; then it neither evaluates the test split nor writes anything.
    """
    if verify and (best.value is None or best.metric not in Epoch.measures()):  # a study with its own train()
        raise SearchError(f"{path}: there is no value of {best.metric} that training again could reproduce")
    device, threads = _place(best, say)
    say = _decoded(best.config, data_root, say)
    epochs = train(best.config, data_root, device, threads if isinstance(threads, int) else None, cache_size, say)
    try:
        last, model = _follow(epochs, best.config.epochs, say, best)
    except SearchError:
        raise
    except Exception as error:  # it diverged, or there is no memory for it
        raise NothingCompleted(f"{path}: {reason(error)}") from error
    if verify:
        place = resolve_runtime(best.config.precision, device, threads if isinstance(threads, int) else None)
        reproduced, why = verdict(best, last, place.describe(), _study(best, storage))
        say(f"{'' if reproduced else 'not '}reproduced: {why}")
        return reproduced
    say(f"validation accuracy {last.val_acc:.4f}{_against(best, last)}")
    other = _other_test(best, storage, last, say)
    tested = None if other else _tested(model, best, data_root, device, cache_size, say)
    model_path = path.with_suffix(".safetensors")
    save(model, best.config, model_path, last.about)
    say(f"wrote {model_path}")
    study = _study(best, storage)
    if study is not None and tested is not None:
        test_split.record(study, best.trial, *tested, last.val_acc)
        say(f"wrote {page.write(StudyView(study), path.parent).path}")
    return True


def _place(best: Best, say: Say) -> tuple[str, Any]:
    """The device and the threads that the YAML records; says what is not the same here."""
    device, threads = best.ran_on.get("device", "auto"), best.ran_on.get("threads")
    if device == "cuda" and not cuda.is_available():
        say("the trial ran on a GPU and none is here: training on the CPU; the numbers may differ a little")
        device, threads = "auto", None
    if (ranks := best.ran_on.get("ranks", 1)) != 1:
        say(f"the trial trained in {ranks} processes together, and here it is one: the numbers may differ a little")
    return device, threads


def _decoded(config: TrainConfig, data_root: Path, say: Say) -> Say:
    """Decode the images, if no earlier command has, with its progress.

    Returns a `say` that begins with what was read: the config may still be refused, and that is one line.
    """
    found = decoding(Console(highlight=False))(partial(decode, [config], ("train", "val"), data_root))
    read = [line for data in found.values() for line in data["said"]]

    def then(line: str) -> None:
        while read:
            say(read.pop(0))
        say(line)

    return then


def _tested(
    model: nn.Module, best: Best, data_root: Path, device: str, cache_size: int, say: Say
) -> tuple[float, int] | None:
    """The accuracy on the test split and of how many images, which is said; None if there is none."""
    try:
        accuracy, images = evaluate_test(model, best.config, data_root, device, cache_size, cores())
    except NoTestSplit as error:
        say(f"not evaluated: {error}")
        return None
    say(f"test accuracy       {accuracy:.4f}")
    return accuracy, images


def verdict(best: Best, last: Epoch, ran_on: Mapping[str, Any], study: Study | None) -> tuple[bool, str]:
    """Whether the last epoch reproduces the trial's number, and by which measure.

    Where device, threads, precision and versions are the same it must be equal. Elsewhere it must lie where one more
    seed would, if `search confirm` has the spread of the seeds, or else in the Wilson interval of the trial's number.
    """
    value, again, metric = float(best.value or 0.0), float(getattr(last, best.metric)), best.metric
    numbers = f"{metric} {measured(again)}, trial {best.trial} had {measured(value)}"
    if again == value:
        return True, f"{metric} {measured(again)}, exactly trial {best.trial}'s"
    there, here = ({"ranks": 1, **place} for place in (best.ran_on, ran_on))
    other = [f"{name} {there.get(name)} there, {now} here" for name, now in here.items() if there.get(name) != now]
    if not other:
        return False, f"{numbers} with the same device, threads and versions, where it must be equal"
    if metric != "val_acc" or last.val_images is None:
        return False, f"{numbers}; of {metric} no interval is known ({'; '.join(other)})"
    rows = StudyView(study).confirmed if study is not None else []
    seeds = next((row.val for row in rows if row.of == best.trial), [])
    images = last.val_images
    low, high = next_draw(seeds) or wilson(round(min(max(value, 0.0), 1.0) * images), images)
    what = f"where one more seed lies beside the {len(seeds)} confirmed" if len(seeds) > 1 else "its Wilson interval"
    inside = low <= again <= high
    where = f"{'inside' if inside else 'outside'} {low:.4f} to {high:.4f}, {what} (95%)"
    return inside, f"{numbers}, {where}; {'; '.join(other)}"


def _other_test(best: Best, storage: str, last: Epoch, say: Say) -> bool:
    """Whether the test split is known to have other pictures than when the study was made, which is said."""
    study, here = _study(best, storage), (last.about or {}).get("test")
    stored = Identity.from_json(StudyRecord(study).data.get(best.config.dataset)) if study is not None else None
    if stored is None or not (stored.test and here) or stored.test == here:
        return False
    say("not evaluated: the test split has other pictures than the study's, so that no two numbers can be compared")
    return True


def _follow(epochs: Generator[Epoch, None, nn.Module], total: int, say: Say, trial: Best) -> tuple[Epoch, nn.Module]:
    """Draw every epoch, saying each; the last one and the model. Raises SearchError for what `trial` did not see."""
    last: Epoch | None = None
    while True:
        try:
            last = next(epochs)
        except StopIteration as end:
            assert last is not None  # a config has at least one epoch
            return last, end.value
        since = "changed since, and no number can be compared"
        if None not in (trial.data, last.data) and trial.data != last.data:
            raise SearchError(f"the trial saw other data: the data set has {since}")
        if None not in (trial.weights, last.weights) and trial.weights != last.weights:
            raise SearchError(f"the trial began with other weights: they have {since}")
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
    return f" (trial {best.trial} had {best.metric} {measured(best.value)}; device, threads or versions may differ)"


def _study(best: Best, storage: str) -> Study | None:
    """The study that the config comes from, if it is in `storage`."""
    try:
        study = load_study(storage, best.study)
    except SearchError:
        return None
    trials = study.get_trials(deepcopy=False)
    same = best.trial < len(trials) and trials[best.trial].value == best.value
    return study if same else None  # not a study that was made anew under the same name
