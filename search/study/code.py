"""Which trials of a study were made by which code of a train() of one's own."""

from __future__ import annotations

from collections.abc import Iterable

from optuna.study import Study
from optuna.trial import FrozenTrial

from search.format import plural
from search.space.code import code_of
from search.space.file import SpaceFile
from search.space.functions import keys_of
from search.space.points import drawn
from search.space.space import Choice, Float, Int, SearchSpace
from search.study.attributes import TrialRecord


def versions(trials: Iterable[FrozenTrial]) -> dict[str, list[int]]:
    """Code to the numbers of the trials that it made, in the order of the first; "" is code that is not known."""
    found: dict[str, list[int]] = {}
    for trial in trials:
        record = TrialRecord(trial)
        if record.code is not None or record.epoch:
            found.setdefault(record.code or "", []).append(trial.number)
    return found


def letters(trials: Iterable[FrozenTrial]) -> dict[str, str]:
    """Code to the letter by which a report calls it, A for the first; "?" for code that is not known."""
    known = [code for code in versions(trials) if code]
    names = {code: _letter(place) for place, code in enumerate(known)}
    return names | {"": "?"}


def _letter(place: int) -> str:
    return (_letter(place // 26 - 1) if place >= 26 else "") + chr(ord("A") + place % 26)


def changes(study: Study, space: SpaceFile) -> list[str]:
    """A line for the user if earlier trials were made by other code than the space file has now."""
    if space.train is None:
        return []
    made, now = versions(study.get_trials(deepcopy=False)), code_of(space.path)
    unknown, other = made.pop("", []), sum(len(numbers) for code, numbers in made.items() if code != now)
    if other:
        which = "changed since" if now not in made else "is not that of all trials:"
        return [
            f"the code of train() {which} {other} of the earlier trials; the report says which trials each code made, "
            "and the sampler learns from all"
        ]
    if unknown:
        return [f"by which code of train() {plural(len(unknown), 'earlier trial', 'was')} made is not known"]
    return []


def unread(space: SpaceFile) -> list[str]:
    """A line for the user about settings that vary, or are the seed, and that a train() never reads.

    Of a space(trial), those of a random point.
    """
    if (known := keys_of(space.train)) is None:
        return []
    if isinstance(space.space, SearchSpace):
        asked = [name for name, setting in space.space.walk() if name == "seed" or _is_key(setting)]
    else:
        (point,) = drawn(space, 1)
        asked = [name for name in point.settings if name == "seed" or name in point.distributions]
    left = [name for name in dict.fromkeys(asked) if name not in known]
    which, has = ("settings", "they have") if len(left) > 1 else ("setting", "it has")
    return [f"train() does not read the {which} {', '.join(left)}, so {has} no effect on the training"] if left else []


def _is_key(setting: object) -> bool:
    """Whether a setting varies, and is in the config itself and not by its branches alone."""
    if isinstance(setting, Choice):
        return len(setting.options) > 1 and not all(isinstance(option, dict) for option in setting.options.values())
    return isinstance(setting, (Float, Int)) and setting.low < setting.high


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in order, with those that follow one another as a range: 0 to 3, 5, 7."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]} to {part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)
