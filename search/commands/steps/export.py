"""A trial as a best-config YAML, and back."""

from __future__ import annotations

import math
import platform
import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import yaml
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.config import FIRST_FIELDS, TrainConfig, is_train_config, make_config
from search.errors import SearchError, nearest, option
from search.files.atomic import file_name, write_text
from search.study.attributes import TrialRecord, config_of, feasible, metric_of, no_best, ranked

_LARGEST = 2**20
"""Bytes of a best-config YAML, which has some 2,000."""


_KINDS: dict[str, Any] = {
    "study": str,
    "trial": int,
    "metric": str,
    "value": (int, float, type(None)),
    "ran_on": dict,
}
"""What a best-config YAML has beside its config, by its types."""


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-3 is a number (PyYAML reads it as text) and two equal keys are an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [repr(self.construct_object(key, deep=True)) for key, _ in node.value]
        twice = [key for key, count in Counter(keys).items() if count > 1]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # a few lines of them can grow to gigabytes
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call] # the stubs have no types for it
            raise yaml.composer.ComposerError(None, None, "aliases are not used here", mark)
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Puts quotes around text that `_Loader` would take for a number: a study may be called 1e-3."""


_FLOAT = re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$")
for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


@dataclass(frozen=True)
class Best:
    """What a best-config YAML says: the config, the trial it comes from, and what that ran on."""

    config: TrainConfig
    study: str
    trial: int
    metric: str
    value: float | None
    ran_on: dict[str, Any]
    data: str | None = None
    """The fingerprint of the data that the trial saw. None: it is not known."""
    weights: str | None = None
    """What tells the weights that it began with from others. None: it began without, or it is not known."""


def write_best(study: Study, folder: Path, number: int | None = None) -> Path:
    """Write a trial's config to `folder`/<study>.trial-N.yaml, by default the best one's to <study>.best.yaml.

    Returns its path. Raises SearchError if there is no such trial, or none completed.
    """
    trial = pick(study, number)
    path = best_path(study, folder, number)
    write_yaml(study, trial, path)
    return path


def write_yaml(study: Study, trial: FrozenTrial, path: Path) -> None:
    """Write the trial's config, what it reached and what it ran on to `path`."""
    config, record = _config(trial), TrialRecord(trial)
    seen = {"data": record.data, "weights": record.weights}
    content = {
        "config": config,
        "study": study.study_name,
        "trial": trial.number,
        "state": trial.state.name,
        "metric": metric_of(study),
        "value": trial.values[0] if trial.values and len(trial.values) == 1 else trial.values,
        "ran_on": record.ran_on,
        **{name: digest for name, digest in seen.items() if digest is not None},
        "versions": {"python": platform.python_version()}
        | {"search": resolve_name("search:__version__")}  # which is there without an install, too
        | {name: version(name) for name in ("optuna", "ray")},
    }
    head = f"# search train {shlex.quote(str(path))}\n" if is_train_config(config) else ""
    write_text(path, head + yaml.dump(content, Dumper=_Dumper, sort_keys=False))


def best_path(study: Study, folder: Path, number: int | None = None) -> Path:
    """Where `write_best` writes the YAML; `search train` puts the model beside it, as .safetensors."""
    name = "best" if number is None else f"trial-{number}"
    return folder / f"{file_name(study.study_name)}.{name}.yaml"


def _config(trial: FrozenTrial) -> dict[str, Any]:
    """The settings it ran with; for the precision, what `auto` meant there."""
    config, ran_on = config_of(trial), TrialRecord(trial).ran_on
    return config | ({"precision": ran_on["precision"]} if "precision" in config and ran_on else {})


def as_dict(trial: FrozenTrial) -> str:
    """The trial's config as a Python dict, to be pasted."""
    return _literal(_config(trial))


def as_enqueue(trial: FrozenTrial) -> str:
    """The call that has another Optuna study of the same space try the trial's parameters first."""
    return f"study.enqueue_trial({_literal(trial.params)})"


def as_argparse(trial: FrozenTrial) -> str:
    """The trial's config as the options of a script that reads them with argparse, quoted for bash and zsh.

    A list's values follow one another (``nargs="*"``), a truth is ``--name`` or ``--no-name`` (BooleanOptionalAction),
    and what is None is left out. Raises SearchError for a value that no shell or no argparse takes.
    """
    config = _config(trial)
    try:
        words = [word for name, value in config.items() if value is not None for word in _option(name, value)]
        return " ".join(map(_quoted, words))
    except ValueError as error:
        raise SearchError(f"{option('format', 'argparse')}: {error}; {option('format', 'dict')} prints it") from None


_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+")
"""What argparse takes for a number, and not for an option."""


def _option(name: str, value: Any) -> list[str]:
    """The words for one setting. Raises ValueError."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    texts = [*map(str, value)] if isinstance(value, (list, tuple)) else [str(value)]
    odd = [text for text in texts if text.startswith("-") and not _NEGATIVE.fullmatch(text)]
    if odd and len(texts) > 1:
        raise ValueError(f"{name} has the value {odd[0]!r}, which argparse takes for an option")
    single = len(texts) == 1 and texts[0].startswith("-")
    return [f"--{name}={texts[0]}"] if single else [f"--{name}", *texts]


def _quoted(word: str) -> str:
    """The word for bash and zsh, with escapes for what acts in a terminal or is not seen. Raises ValueError."""
    if word.isprintable():
        return shlex.quote(word)
    if "\0" in word:
        raise ValueError(f"no shell takes {word!r:.50}, in which there is a zero")

    def shown(c: str) -> str:
        code = c.encode(errors="surrogateescape")  # of a path that is no UTF-8, the bytes
        return f"\\{c}" if c in "\\'" else c if c.isprintable() else "".join(f"\\{byte:03o}" for byte in code)

    return f"$'{''.join(map(shown, word))}'"


def _literal(settings: Mapping[str, Any]) -> str:
    """A dict as Python reads it, one setting a line."""
    lines = [f"    {name!r}: {_python(value)},\n" for name, value in settings.items()]
    return "{\n" + "".join(lines) + "}" if lines else "{}"


def _python(value: Any) -> str:
    """A value of a config, or of a trial's parameters, as Python reads it."""
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, list):
        return f"[{', '.join(map(_python, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_python(part)}' for key, part in value.items())}}}"
    return repr(value)


FORMATS: dict[str, Callable[[FrozenTrial], str]] = {"dict": as_dict, "enqueue": as_enqueue, "argparse": as_argparse}
"""What `search export` prints, by the word of `--format`; yaml, its default, is a file."""


def pick(study: Study, number: int | None) -> FrozenTrial:
    """The trial of that number, by default the best. Raises SearchError if there is none with a result."""
    if number is None and len(study.directions) > 1:
        raise SearchError(
            f"the study {study.study_name!r} has {len(study.directions)} objectives and no best trial; "
            f"{option('trial', 'N')} names one"
        )
    if number is None:
        best = ranked(study)[:1]
        if not best:
            raise SearchError(f"the study {study.study_name!r} has no completed trial to export")
        if not feasible(best[0]):
            raise SearchError(f"the study {study.study_name!r}: {no_best(study)}; {option('trial', 'N')} names a trial")
        return best[0]
    trials = study.get_trials(deepcopy=False)
    if not 0 <= number < len(trials):
        raise SearchError(f"the study {study.study_name!r} has no trial {number}; it has {len(trials)}, counted from 0")
    if trials[number].state in (TrialState.WAITING, TrialState.FAIL):
        state = trials[number].state.name
        raise SearchError(f"trial {number} of {study.study_name!r} is {state}; it has no result to export")
    return trials[number]


def read_best(path: Path) -> Best:
    """Read a best-config YAML. Raises SearchError naming the file and the field that is wrong, unknown or missing."""
    try:
        if path.stat().st_size > _LARGEST:
            raise SearchError(f"{path}: no best-config YAML: it has more than {_LARGEST} bytes")
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - our SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise SearchError(f"{path}: cannot be read: {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or type(error).__name__
        raise SearchError(f"{path}{f':{mark.line + 1}' if mark else ''}: no valid YAML: {problem}") from None
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise SearchError(f"{path}: no best-config YAML: it has no 'config'; `search export STUDY` writes one")
    config, fields = content["config"], set(TrainConfig.model_fields)
    unknown = [str(name) for name in config if name not in fields]
    if unknown and not fields & set(config):
        raise SearchError(f"{path}: the config of a train() of its own; call that with it")
    if unknown:
        raise SearchError(f"{path}: config: unknown field {unknown[0]!r}{nearest(unknown[0], fields)}")
    missing = sorted(FIRST_FIELDS - set(config))
    if missing:
        what = TrainConfig.model_fields[missing[0]].description
        raise SearchError(f"{path}: config: the field {missing[0]!r} is missing ({what})")
    try:
        made = make_config(config)
    except SearchError as error:
        raise SearchError(f"{path}: config: {error}") from None
    for name, kind in _KINDS.items():
        if name not in content or not isinstance(content[name], kind) or isinstance(content[name], bool):
            raise SearchError(f"{path}: {name!r} is {'missing' if name not in content else 'of the wrong type'}")
    value = content["value"]
    if content["trial"] < 0:
        raise SearchError(f"{path}: trial = {content['trial']}; trials are counted from 0")
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        raise SearchError(f"{path}: 'value' is no measurement: it has {len(repr(value))} digits")
    if value is not None and not math.isfinite(value):  # of a trial that diverged under plain Optuna
        content["value"] = None
    known: list[Any] = [content.get(name) for name in (*_KINDS, "data", "weights")]
    return Best(made, *known)
