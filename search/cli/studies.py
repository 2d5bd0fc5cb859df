"""The verbs that read studies: report, status, compare, import, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from search.cli.options import (
    Csv,
    DataRoot,
    Json,
    Reports,
    Storage,
    StorageFile,
    StudyName,
    app,
    one_format,
    read_from,
    written,
)
from search.commands.units import DATA_ROOT, REPORTS, STORAGE
from search.errors import SearchError
from search.files.locations import written_to


@app.command()
def report(
    study: StudyName,
    storage: Storage = STORAGE,
    storage_file: StorageFile = None,
    reports: Reports = Path(REPORTS),
    columns: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="More columns: epoch-time, machine-time, gpu-hours, memory, parameters, trainable, mb, latency; "
            "cost for all of them.",
        ),
    ] = "",
    json: Json = False,
    csv: Csv = False,
) -> None:
    """Write a study's report, reports/STUDY.md, and print its table; or print it as data, and write nothing."""
    from search.analysis.view import StudyView
    from search.monitoring.dashboard import publish
    from search.reporting import data, page
    from search.reporting.columns import column_names
    from search.study.storage.open import storage_errors
    from search.study.study import load_study

    extra, as_data = column_names(columns), one_format(json, csv)
    if not as_data:
        written_to(reports, "--reports")
    with storage_errors(storage):
        view = StudyView(load_study(storage, study))
        if as_data:
            content = data.report(view)
            typer.echo(data.to_csv(content["rows"]) if csv else data.to_json(content), nl=not csv)
            return
        written = page.write(view, reports, extra)
        publish(view, written)
        typer.echo(f"{written.table}\n\nwrote {written.path}")


@app.command()
def status(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="One study's name. [default: all of the storage]")
    ] = None,
    storage: Storage = STORAGE,
    storage_file: StorageFile = None,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """List the studies of a storage: trials by state, the best, and who runs it now."""
    from search.reporting import data
    from search.study.storage.open import open_storage, storage_errors
    from search.study.study import load_study

    as_data = one_format(json, csv)
    with storage_errors(storage):
        rows = data.status(open_storage(storage), study)
        if study is not None and not rows:
            load_study(storage, study)  # which says what there is
    if as_data:
        typer.echo(data.to_csv(rows) if csv else data.to_json(rows), nl=not csv)
        return
    from search.reporting.table import listing

    typer.echo(listing(rows) if rows else "No study yet.")


@app.command()
def compare(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY STUDY...", help="The studies' names, two or more.")],
    storage: Storage = STORAGE,
    storage_file: StorageFile = None,
    reports: Reports = Path(REPORTS),
    json: Json = False,
    csv: Csv = False,
) -> None:
    """Set studies side by side in reports/A-vs-B.md and print the table; or print it as data, and write nothing."""
    from search.analysis import comparison
    from search.reporting import compare, data
    from search.study.storage.open import storage_errors
    from search.study.study import load_study

    as_data = one_format(json, csv)
    if not as_data:
        written_to(reports, "--reports")
    with storage_errors(storage):
        found = comparison.views([load_study(storage, name) for name in studies])
        if as_data:
            rows = comparison.rows(found)
            typer.echo(data.to_csv(rows) if csv else data.to_json(rows), nl=not csv)
            return
        path, table = compare.write(found, reports)
        typer.echo(f"{table}\n\nwrote {path}")


@app.command(name="import")
def import_(
    table: Annotated[Path, typer.Argument(metavar="TABLE.md", help="Hand-written notes with a Markdown table.")],
    out: Annotated[Path | None, typer.Option(help="The CSV file to write. [default: TABLE.csv, beside it]")] = None,
) -> None:
    """Make a baselines CSV from a hand-written Markdown table, whose columns may stand in any order."""
    from search.space.baseline_tables import import_table

    path = written(out or table.parent / f"{table.stem}.csv", "--out")
    if path.resolve() == table.resolve():
        raise SearchError(f"{table}: the CSV would take the place of the notes; --out names another file")
    for line in import_table(table, path):
        typer.echo(line)


@app.command()
def export(
    study: StudyName,
    trial: Annotated[int | None, typer.Option(min=0, help="The trial's number. [default: the best one]")] = None,
    format: Annotated[
        Literal["yaml", "dict", "enqueue", "argparse"],
        typer.Option(
            help="yaml: a file for `search train`; printed: a Python dict, Optuna's enqueue_trial, a script's options."
        ),
    ] = "yaml",
    onnx: Annotated[
        Path | None,
        typer.Option(metavar="MODEL.onnx", help="Write the model that `search train` wrote beside the YAML, as ONNX."),
    ] = None,
    storage: Storage = STORAGE,
    storage_file: StorageFile = None,
    data_root: DataRoot = Path(DATA_ROOT),
    reports: Reports = Path(REPORTS),
) -> None:
    """Write a trial's config as YAML, for `search train`, or print it otherwise; or write the trained model as ONNX."""
    from search.commands.steps.export import FORMATS, pick, write_best
    from search.study.storage.open import storage_errors
    from search.study.study import load_study

    root = read_from(data_root)
    if onnx is not None or format == "yaml":
        written_to(reports, "--reports")
    with storage_errors(storage):
        loaded = load_study(storage, study)
        if onnx is not None:
            from search.commands.steps.export_onnx import write_onnx

            source = write_onnx(loaded, reports, root, written(onnx, "--onnx"), trial)
            typer.echo(f"wrote {onnx}, from {source}")
        elif format == "yaml":
            typer.echo(f"wrote {write_best(loaded, reports, trial)}")
        else:
            typer.echo(FORMATS[format](pick(loaded, trial)))
