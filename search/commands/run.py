"""`search run`: commands/steps/run.py does it."""

from typing import TYPE_CHECKING

from search.commands.launch_options import RunOptions

if TYPE_CHECKING:
    from optuna.study import Study


def run(options: RunOptions) -> "Study":
    """Run the search that a space file describes, or go on with it; then write its report and best config."""
    from search.commands.steps.run import run_search
    from search.data.reading.skipping import skipping

    with skipping(options.skip_broken):
        return run_search(options)
