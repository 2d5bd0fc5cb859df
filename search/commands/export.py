"""`search export`: its options; commands/steps/export*.py do it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from search.commands import units
from search.commands.options import Code, DataRoot, Help, Parsed, Reports, RunDir, StudyOptions
from search.errors import SearchError, option

if TYPE_CHECKING:
    from optuna.study import Study

    from search.commands.steps.weights import Weights


@dataclass(kw_only=True)
class ExportOptions(StudyOptions):
    trial: Annotated[int | None, Help("The trial's number. [default: the best one]", min=0)] = None
    model: Annotated[
        Path | None,
        Help("Write the trained model into this folder: weights, a model card, its config.", metavar="DIR"),
    ] = None
    onnx: Annotated[Path | None, Help("Write the trained model as ONNX.", metavar="MODEL.onnx")] = None
    int8: Annotated[
        Literal["dynamic", "static"] | None,
        Help(
            "Of --onnx: 8-bit integers, set beside float on the validation images. dynamic: ranges found for each "
            "batch; static: fixed by training images."
        ),
    ] = None
    data_root: DataRoot = Parsed(units.data_root, "data")
    code: Code = Parsed(units.code, ())
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

    if options.int8 is not None and options.onnx is None:
        raise SearchError(f"{option('int8', options.int8)} is of an ONNX file; name it with {option('onnx', 'FILE')}")
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

            write_model(study, weights, options.model, options.code)
            lines.append(f"wrote {options.model}, from {weights.source}")
        if onnx is not None:
            lines += _write_onnx(weights, onnx, options)
    first = options.model or onnx
    assert first is not None
    return first, lines


def _write_onnx(weights: "Weights", onnx: Path, options: ExportOptions) -> list[str]:
    wrote = f"wrote {onnx}, from {weights.source}"
    if options.int8 is None:
        from search.commands.steps.export_onnx import write_onnx

        write_onnx(weights.file, weights.about, onnx, options.code)
        return [wrote]
    from search.commands.steps.export_int8 import write_int8

    said = write_int8(weights.file, weights.about, onnx, options.int8, options.data_root, options.code)
    return [wrote, *said]
