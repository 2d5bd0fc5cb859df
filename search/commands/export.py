"""`search export`: its options; commands/steps/export.py and export_onnx.py do it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from search.commands import units
from search.commands.options import Help, Parsed, Reports, StudyOptions


@dataclass(kw_only=True)
class ExportOptions(StudyOptions):
    trial: Annotated[int | None, Help("The trial's number. [default: the best one]", min=0)] = None
    reports: Reports = Parsed(units.path, "reports")


@dataclass(kw_only=True)
class PrintedExportOptions(ExportOptions):
    format: Annotated[
        Literal["yaml", "dict", "enqueue", "argparse"],
        Help("yaml: a file for `search train`; printed: a Python dict, Optuna's enqueue_trial, a script's options."),
    ] = "yaml"
    onnx: Annotated[
        Path | None,
        Help("Write the model that `search train` wrote beside the YAML, as ONNX.", metavar="MODEL.onnx"),
    ] = None


def export(options: PrintedExportOptions) -> None:
    """Write a trial's config as YAML, for `search train`, or print it otherwise; or write the trained model as ONNX."""
    from search.files.locations import written_to
    from search.study.storage.open import storage_errors

    if options.onnx is None and options.format == "yaml":
        print(f"wrote {write_config(options)}")
        return
    if options.onnx is not None:
        written_to(options.reports, "reports")
    with storage_errors(options.storage):
        study = options.load()
        if options.onnx is not None:
            from search.commands.steps.export_onnx import write_onnx

            onnx = units.written(options.onnx, "onnx")
            source = write_onnx(study, options.reports, onnx, options.trial)
            print(f"wrote {onnx}, from {source}")
        else:
            from search.commands.steps.export import FORMATS, pick

            print(FORMATS[options.format](pick(study, options.trial)))


def write_config(options: ExportOptions) -> Path:
    """Write the config of a trial, by default of the best, as YAML; its path."""
    from search.commands.steps.export import write_best
    from search.files.locations import written_to
    from search.study.storage.open import storage_errors

    written_to(options.reports, "reports")
    with storage_errors(options.storage):
        return write_best(options.load(), options.reports, options.trial)
