"""`search confirm`: commands/steps/confirm.py does it."""

from typing import TYPE_CHECKING

from search.commands.launch_options import ConfirmOptions

if TYPE_CHECKING:
    from optuna.study import Study


def confirm(options: ConfirmOptions) -> "Study":
    """Train the best trials and the best hand-tuned row again with new seeds, to tell luck from merit.

    The seeds are a study of their own, STUDY.confirm. Each is evaluated once on the test split. The same command
    goes on.
    """
    from search.commands.steps.confirm import confirm_study
    from search.data.reading.skipping import skipping

    with skipping(options.skip_broken):
        return confirm_study(options)
