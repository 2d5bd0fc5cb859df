"""A report's table on the screen: as wide as the terminal, or as Markdown where another program reads it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from search.reporting.page import Report


def show(report: Report) -> None:
    """Print the table."""
    if report.ranking is None or not report.ranking.rows or not sys.stdout.isatty():
        print(report.table)
        return
    from search.reporting.columns import unescaped

    console = Console(highlight=False, markup=False)
    if report.ranking.words:
        console.print(unescaped(report.ranking.words))
        console.print()
    console.print(report.ranking.terminal(console.width))
