"""The verbs that read studies and print a table, or data: report, status, compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

from search.commands import units
from search.commands.options import Help, Options, Parsed, Reports, StorageOptions, StudyOptions
from search.errors import SearchError, option, switch

if TYPE_CHECKING:
    from search.reporting.page import Report


@dataclass(kw_only=True)
class DataFormat(Options):
    """Of a verb that prints its table as data, too."""

    json: Annotated[bool, Help("Print it as JSON.")] = False
    csv: Annotated[bool, Help("Print its rows as CSV.")] = False

    @property
    def as_data(self) -> bool:
        """Whether the table is to be printed as data. Raises SearchError for two formats."""
        if self.json and self.csv:
            raise SearchError(f"{option('json')} and {option('csv')}: one of them at a time")
        return self.json or self.csv

    def print_data(self, content: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """Print `content` as JSON, or its rows as CSV."""
        from search.reporting.rows import to_csv, to_json

        print(to_csv(rows) if self.csv else to_json(content), end="" if self.csv else "\n")


@dataclass(kw_only=True)
class ReportOptions(StudyOptions):
    columns: Annotated[
        Parsed[str | Sequence[str], str],
        Help(
            "More columns: epoch-time, machine-time, gpu-hours, memory, parameters, trainable, mb, latency; "
            "cost for all of them; balanced-acc, macro-f1, top-5-acc, auroc, calibration-error.",
            metavar="NAME,...",
            word=str,
        ),
    ] = Parsed(lambda words, name: words if isinstance(words, str) else ",".join(words), ())
    full: Annotated[bool, Help("The table with every column, those that are the same in all rows among them.")] = False
    html: Annotated[
        bool, Help("Write reports/STUDY.html, too: one page with sortable tables, curves to zoom, and the gallery.")
    ] = False
    reports: Reports = Parsed(units.path, "reports")


@dataclass(kw_only=True)
class PrintedReportOptions(ReportOptions, DataFormat):
    pass


def report(options: PrintedReportOptions) -> None:
    """Write a study's report, reports/STUDY.md, and print its table; or print it as data, and write nothing."""
    from search.analysis.view import StudyView
    from search.reporting import data
    from search.study.storage.open import storage_errors

    if options.as_data:
        if options.html:
            raise SearchError(f"{switch('html')} writes a page; leave it out to print data")
        with storage_errors(options.storage):
            content = data.report(StudyView(options.load()))
        options.print_data(content, content["rows"])
        return
    from search.commands.steps.screen import show

    written = write_report(options)
    show(written)
    print(f"\nwrote {written.path}")
    if written.html is not None:
        shown = "; it shows pictures of the data set" if written.shows_pictures else ""
        print(f"wrote {written.html}{shown}")


def write_report(options: ReportOptions) -> "Report":
    """Write a study's report."""
    from search.analysis.view import StudyView
    from search.files.locations import written_to
    from search.monitoring.dashboard import publish
    from search.reporting import columns, page
    from search.study.storage import retry
    from search.study.storage.open import storage_errors

    extra = columns.column_names(options.columns)
    written_to(options.reports, "reports")
    with storage_errors(options.storage):
        view = StudyView(options.load())
        written = page.write(view, options.reports, extra, options.full)
        if options.html:
            from search.reporting import html

            written = replace(written, html=html.write(view, written))
        try:
            publish(view, written)
        except retry.ERRORS as error:
            if not retry.is_denied(error):
                raise
            print(f"the report is not in optuna-dashboard: {retry.reason(error)}")
    return written


@dataclass(kw_only=True)
class StatusOptions(StorageOptions, DataFormat):
    study: Annotated[str | None, Help("One study's name. [default: all of the storage]", metavar="[STUDY]")] = field(
        default=None, kw_only=False
    )


def status(options: StatusOptions) -> None:
    """List the studies of a storage: trials by state, the best, and who runs it now."""
    from search.reporting import data
    from search.study.storage.open import open_storage, storage_errors
    from search.study.study import load_study

    as_data = options.as_data
    with storage_errors(options.storage):
        rows = data.status(open_storage(options.storage), options.study)
        if options.study is not None and not rows:
            load_study(options.storage, options.study)  # which says what there is
    if as_data:
        options.print_data(rows, rows)
        return
    from search.reporting.table import listing

    print(listing(rows) if rows else "No study yet.")


@dataclass(kw_only=True)
class CompareOptions(StorageOptions, DataFormat):
    studies: Annotated[
        Sequence[str], Help("The studies' names, two or more.", metavar="STUDY STUDY...", word=list[str])
    ] = field(kw_only=False)
    reports: Reports = Parsed(units.path, "reports")


def compare(options: CompareOptions) -> None:
    """Set studies side by side in reports/A-vs-B.md and print the table; or print it as data, and write nothing."""
    from search.analysis import comparison
    from search.files.locations import written_to
    from search.reporting import compare
    from search.study.storage.open import storage_errors
    from search.study.study import load_study

    as_data = options.as_data
    if not as_data:
        written_to(options.reports, "reports")
    with storage_errors(options.storage):
        found = comparison.views([load_study(options.storage, name) for name in options.studies])
        if as_data:
            rows = comparison.rows(found)
            options.print_data(rows, rows)
            return
        path, table = compare.write(found, options.reports)
        print(f"{table}\n\nwrote {path}")
