"""`search check`: its options; search/doctor does it."""

from dataclasses import dataclass

from search.commands import units
from search.commands.options import DataRoot, Parsed, SkipBroken, SpaceOptions


@dataclass(kw_only=True)
class CheckOptions(SpaceOptions):
    data_root: DataRoot = Parsed(units.data_root, "data")
    skip_broken: SkipBroken = False


def check(options: CheckOptions) -> bool:
    """Look at a space before it costs hours: images, labels, learning rates, memory; exit status 1 if a check fails.

    Pictures go to runs/STUDY/check. Of the test split only whether its files open is seen.
    """
    from rich.console import Console

    from search.commands.steps.launch import decoding
    from search.data.reading.skipping import skipping
    from search.doctor.doctor import check_space

    waiting = decoding(Console(highlight=False))
    with skipping(options.skip_broken):
        return check_space(options.where, options.overrides, options.name, options.data_root, waiting) == 0
