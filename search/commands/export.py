"""`search export`: its options; commands/steps/export*.py do it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from search.commands import units
from search.commands.options import Help, Parsed, Reports, RunDir, StudyOptions
from search.errors import SearchError, option

if TYPE_CHECKING:
    from optuna.study import Study


@dataclass(kw_only=True)
class ExportOptions(StudyOptions):
    trial: Annotated[int | None, Help("The trial's number. [default: the best one]", min=0)] = None
    model: Annotated[
        Path | None,
        Help("Write the trained model into this folder: weights, a model card, its config.", metavar="DIR"),
    ] = None
    onnx: Annotated[Path | None, Help("Write the trained model as ONNX.", metavar="MODEL.onnx")] = None
    run_dir: RunDir = Parsed(units.run_dir, "runs")
    reports: Reports = Parsed(units.path, "reports")


@dataclass(kw_only=True)
class PrintedExportOptions(ExportOptions):
    format: Annotated[
        Literal["yaml", "dict", "enqueue", "argparse"],
        Help("yaml: a file for `search train`; printed: a Python dict, Optuna's enqueue_trial, a script's options."),
    ] = "yaml"


def export(options: PrintedExportOptions) -> None:
    """Write the trained model of a trial, with a model card, or as ONNX; or its config as YAML, or printed."""
    from search.study.storage.open import storage_errors

    if options.format == "yaml":
        for line in _write(options)[1]:
            print(line)
        return
    if options.model is not None or options.onnx is not None:
        raise SearchError(f"{option('format', options.format)} prints a config; leave it out to write the model")
    with storage_errors(options.storage):
        from search.commands.steps.export import FORMATS, pick

        print(FORMATS[options.format](pick(options.load(), options.trial)))


def write_config(options: ExportOptions) -> Path:
    """Write the config of a trial, by default of the best, as YAML, or its trained model; returns the path."""
    return _write(options)[0]


def _write(options: ExportOptions) -> tuple[Path, list[str]]:
    """The first file or folder that was written, and a line for each."""
    from search.files.locations import written_to
    from search.study.storage.open import storage_errors

    if options.model is not None:
        written_to(options.model, "model")
    onnx = units.written(options.onnx, "onnx") if options.onnx is not None else None
    written_to(options.reports, "reports")
    with storage_errors(options.storage):
        study = options.load()
        if options.model is None and onnx is None:
            from search.commands.steps.export import write_best

            path = write_best(study, options.reports, options.trial)
            return path, [f"wrote {path}"]
        return _write_model(study, options, onnx)


def _write_model(study: "Study", options: ExportOptions, onnx: Path | None) -> tuple[Path, list[str]]:
    from search.commands.steps.weights import trained

    lines: list[str] = []
    with trained(study, options.reports, options.run_dir, options.trial) as weights:
        if options.model is not None:
            from search.commands.steps.export_model import write_model

            write_model(study, weights, options.model)
            lines.append(f"wrote {options.model}, from {weights.source}")
        if onnx is not None:
            from search.commands.steps.export_onnx import write_onnx

            write_onnx(weights.file, weights.about, onnx)
            lines.append(f"wrote {onnx}, from {weights.source}")
    first = options.model or onnx
    assert first is not None
    return first, lines
