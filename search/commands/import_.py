"""`search import`: a hand-written table, as the CSV that a space file names."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from search.commands.options import Help, Options
from search.commands.units import written
from search.errors import SearchError, option


@dataclass(kw_only=True)
class ImportOptions(Options):
    table: Annotated[Path, Help("A Markdown table, with any text around it.", metavar="TABLE.md")] = field(
        kw_only=False
    )
    out: Annotated[Path | None, Help("The CSV file to write. [default: TABLE.csv, beside it]")] = None


def import_(options: ImportOptions) -> None:
    """Make a baselines CSV from a hand-written Markdown table, whose columns may stand in any order."""
    from search.space.baseline_tables import import_table

    table = options.table
    path = written(options.out or table.parent / f"{table.stem}.csv", "out")
    if path.resolve() == table.resolve():
        raise SearchError(f"{table}: the CSV would replace the table itself; {option('out')} names another file")
    for line in import_table(table, path):
        print(line)
