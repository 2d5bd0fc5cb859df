"""`search confirm`: its options; commands/steps/confirm.py does it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from search.commands.options import Help, LaunchOptions, StudyOptions

if TYPE_CHECKING:
    from optuna.study import Study


@dataclass(kw_only=True)
class ConfirmOptions(StudyOptions, LaunchOptions):
    top: Annotated[int, Help("How many of the best trials.", min=1)] = 3
    seeds: Annotated[int, Help("New seeds of each, those of earlier calls included.", min=1, max=1000)] = 3
    gpus_per_trial: Annotated[
        float | None,
        Help("GPUs of one trial; 0.25 lets four share one. [default: 1 if there is one]", min=0, max=99999),
    ] = None


def confirm(options: ConfirmOptions) -> "Study":
    """Train the best trials and the best hand-tuned row again with new seeds, to tell luck from merit.

    The seeds are a study of their own, STUDY.confirm. Each is evaluated once on the test split. The same command
    goes on.
    """
    from search.commands.steps.confirm import confirm_study

    return confirm_study(options)
