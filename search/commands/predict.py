"""`search predict`: its options; search/trained does it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from search.commands import units
from search.commands.options import Code, Help, Parsed, Reports, RunDir, StorageOptions
from search.errors import SearchError

if TYPE_CHECKING:
    from optuna.study import Study

    from search.commands.steps.predict import Wanted
    from search.trained.classifier import Classifier
    from search.trained.predicting import Prediction


@dataclass(kw_only=True)
class PredictOptions(StorageOptions):
    model: Annotated[
        "str | Path | Study",
        Help(
            "A trained model: a .safetensors or .onnx file, the folder of `search export --model`, or a study's name "
            "for its winner.",
            metavar="MODEL",
            word=str,
        ),
    ] = field(kw_only=False)
    images: Annotated[
        Sequence[str | Path],
        Help("Pictures: files, folders, patterns, zip and tar archives.", metavar="IMAGES...", word=list[str]),
    ] = field(kw_only=False)
    top: Annotated[int, Help("How many classes of each picture, the likeliest first.", min=1)] = 1
    threshold: Annotated[
        float, Help("Name no class whose probability is lower; it stands in the column `unsure` then.", min=0, max=1)
    ] = 0.0
    contact_sheet: Annotated[
        Path | None,
        Help("Write the pictures with their classes as an image; more than 120 as several.", metavar="SHEET.png"),
    ] = None
    device: Annotated[Literal["auto", "cpu", "cuda"], Help("auto: the GPU if there is one, else all cores.")] = "auto"
    code: Code = Parsed(units.code, ())
    run_dir: RunDir = Parsed(units.run_dir, "runs")
    reports: Reports = Parsed(units.path, "reports")

    @property
    def wanted(self) -> "Wanted":
        """Of which pictures, and what of each."""
        from search.commands.steps.predict import Wanted

        return Wanted(self.images, self.top, self.threshold, self.contact_sheet)


@dataclass(kw_only=True)
class PrintedPredictOptions(PredictOptions):
    json: Annotated[bool, Help("JSON in place of CSV.")] = False
    out: Annotated[Path | None, Help("Write to this file, and not to the screen.", metavar="FILE")] = None


def predict(options: PrintedPredictOptions) -> None:
    """Say what is in pictures, by a trained model, as CSV or JSON: path, class, probability. Needs no data set."""
    from search.commands.steps.predict import say

    out = units.written(options.out, "out") if options.out is not None else None
    say(_opened(options), options.wanted, options.json, out)


def predictions(options: PredictOptions) -> "list[Prediction]":
    """What is in pictures, by a trained model: a `Prediction` for each picture, in their order."""
    from search.commands.steps.predict import predicted

    return predicted(_opened(options), options.wanted)[0]


@contextmanager
def _opened(options: PredictOptions) -> "Iterator[Classifier]":
    """The model that the options name. Raises SearchError."""
    from search.trained.classifier import open_model

    given, code = options.model, options.code
    if not isinstance(given, (str, Path)) or not _is_path(given):
        from search.commands.steps.weights import trained
        from search.study.storage.open import storage_errors
        from search.study.study import load_study

        with storage_errors(options.storage):
            study = load_study(options.storage, str(given)) if isinstance(given, (str, Path)) else given
            with trained(study, options.reports, options.run_dir) as weights:
                yield open_model(weights.file, options.device, weights.source, code)
        return
    yield open_model(Path(given), options.device, code=code)


def _is_path(given: str | Path) -> bool:
    """Whether a file is meant, and not a study's name. Raises SearchError for a file that is not there."""
    path = Path(given)
    named = isinstance(given, Path) or os.sep in str(given) or path.suffix.lower() in (".safetensors", ".onnx")
    if named and not path.exists():
        raise SearchError(f"{path}: no such file")
    return named or path.exists()
