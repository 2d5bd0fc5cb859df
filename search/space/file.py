"""Read a space file, and say what is wrong with it before anything starts."""

from __future__ import annotations

import ast
import math
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, PartialFixedSampler
from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial

from search.config import COSTS, epochs_of
from search.errors import SearchError, first_line, option
from search.space import cells, module
from search.space.baselines import Baseline, read_baselines
from search.space.checks import check_missing, check_settings, check_sound, check_takes, check_word, saying, shown
from search.space.direction import Direction, goals, limits
from search.space.space import SearchSpace, parse_value
from search.space.values import text as text_of
from search.space.values import unfit

Train = Callable[[dict[str, Any]], Iterator[dict[str, Any]]]


@dataclass(frozen=True)
class SpaceFile:
    """A space file as the engines see it."""

    path: Path
    name: str
    space: SearchSpace | Callable[[BaseTrial], dict[str, Any]]
    train: Train | None = None
    trials: int = 64
    metric: str = "val_acc"
    direction: Direction = "maximize"
    further: Mapping[str, Direction] = field(default_factory=dict)
    """The objectives beside the metric, of a study of several."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """The most that a point may take of a cost of `config.COSTS`: others are refused before they train."""
    sampler: BaseSampler | None = None
    pruner: BasePruner | None = None
    callbacks: Sequence[Callable[[Study, FrozenTrial], object]] = ()
    baselines: Sequence[Baseline] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def goals(self) -> dict[str, Direction]:
        """Each objective and its direction, the metric first."""
        return {self.metric: self.direction, **self.further}

    @property
    def costs(self) -> tuple[str, ...]:
        """The costs of `config.COSTS` that the study asks for, as objectives or limits."""
        return tuple(name for name in COSTS if self.train is None and name in {*self.goals, *self.limits})

    @property
    def epochs(self) -> int | None:
        """How many every trial has; None: it varies, or a function or a train() alone knows."""
        return epochs_of(self.space.settings) if isinstance(self.space, SearchSpace) else None

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """The settings of one trial. Its values may lie outside their ranges (`search.space.points.outside`)."""
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Inconsistent parameter values", RuntimeWarning)
            warnings.filterwarnings("ignore", r"(Fixed parameter|The value `).* is out of range", UserWarning)
            if isinstance(self.space, SearchSpace):
                return self.space.suggest(trial)
            try:
                settings = self.space(trial)
            except RuntimeWarning as error:
                said = str(error).partition("!")[0].lower()
                raise SearchError(f"space(trial): {said}: a name has one range in a trial") from None
        if not isinstance(settings, dict):
            raise SearchError(f"space(trial) returned a {type(settings).__name__}; it must be a dict of settings")
        for name in trial.params:
            check_word("space(trial)", "the name", name)
        if why := unfit(settings):
            raise SearchError(f"space(trial) returned settings that cannot be used: {why}")
        # The sampler keeps the fixed dimensions; what the function returns without asking the trial is fixed here.
        constants = {name for name in self.fixed if name in settings and name not in trial.params}
        return settings | {name: self.fixed[name] for name in constants}

    def describe(self) -> dict[str, str]:
        """Setting by setting, or the function's source: equal exactly if two spaces are."""
        if isinstance(self.space, SearchSpace):
            return self.space.describe()
        of_cells = self.path.suffix == cells.SUFFIX
        tree = ast.parse(dedent(cells.source(self.space)) if of_cells else self.path.read_bytes())
        body = [ast.unparse(node) for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "space"]
        return {
            "space()": "\n".join(body) or ast.unparse(tree),
            **{name: text_of(value) for name, value in self.fixed.items()},
        }

    def fits(self, described: dict[str, str]) -> bool:
        """Whether a study whose space was `described` is one of this space."""
        before = self.space.described_before() if isinstance(self.space, SearchSpace) else None
        return described in (self.describe(), before)

    def keep_fixed(self, sampler: BaseSampler) -> BaseSampler:
        """`sampler`, but for the dimensions of a define-by-run space that ``--set`` fixed."""
        if not self.fixed:
            return sampler
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            return PartialFixedSampler(dict(self.fixed), sampler)


def load_space(source: str | Path | SearchSpace, overrides: Sequence[str] = ()) -> SpaceFile:
    """Run the space file `source`, check it, and fix the settings that `overrides` (``name=value``) names.

    `source` may also be a SearchSpace for the built-in training, to be called "space". Raises SearchError, with the
    file and where possible the line, for anything that could not run.
    """
    given = isinstance(source, SearchSpace)
    path = Path("space") if isinstance(source, SearchSpace) else Path(source)
    found: dict[str, Any] = {"space": source} if given else _run(path)
    if "space" not in found:
        raise SearchError(f"{path}: no space; a space file says `space = SearchSpace(...)`")
    space, train = found["space"], found.get("train")
    _check_functions(path, space, train)
    fixed: dict[str, Any] = {}
    if isinstance(space, SearchSpace):
        try:
            check_sound("space" if given else path, space)
        except RecursionError:
            raise SearchError(f"{shown(path)}: the space contains itself") from None
        if train is None:
            check_settings("space" if given else path, space)
            check_missing(path, space)
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name:
            raise SearchError(f"{option('set', override)}: write it as name=value")
        if isinstance(space, SearchSpace):
            space = space.fix(name, text, free=train is not None)
            if train is None:
                check_settings(option("set", override), space)
        else:
            fixed[name] = parse_value(name, text)
    if overrides and isinstance(space, SearchSpace) and train is None:
        check_missing(path, space)
    return SpaceFile(path, path.stem, space, train, fixed=fixed, **_options(path, found))


def _check_functions(path: Path, space: Any, train: Any) -> None:
    """Raise SearchError for a space or a train() that cannot be called as the engines call it."""
    if not isinstance(space, SearchSpace) and not callable(space):
        raise SearchError(
            f"{shown(path)}: space is a {type(space).__name__}; it must be a SearchSpace or a function of a trial"
        )
    if train is not None and not callable(train):
        place = option("train") if path.suffix == cells.SUFFIX else path
        raise SearchError(f"{place}: train is a {type(train).__name__}; it must be a generator function, train(config)")
    if not isinstance(space, SearchSpace):
        check_takes(path, "space", space, "trial")
    if train is not None:
        check_takes(path, "train", train, "config")


def load_train(path: str | Path) -> Train | None:
    """The ``train`` generator of a space file, if it has one of its own; for a worker process."""
    return _run(Path(path), module.loaded).get("train")


def _run(path: Path, load: Callable[[Path], dict[str, Any]] = module.load) -> dict[str, Any]:
    if path.suffix == cells.SUFFIX and path.is_file():
        return cells.read(path)
    if path.suffix != ".py" or not path.is_file():
        near = sorted(str(p) for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise SearchError(f"{path}: no such space file" + (f"; here are {', '.join(near)}" if near else ""))
    try:
        return load(path)
    except SearchError:
        raise
    except SyntaxError as error:
        place, text = f"{error.filename}:{error.lineno}" if error.lineno else str(path), (error.text or "").strip()
        raise SearchError(f"{place}: {error.msg}{f': {text}' if text else ''}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, for one
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        place = f"{path}:{frames[-1].lineno}: {(frames[-1].line or '').strip()}" if frames else str(path)
        raise SearchError(f"{place}: {type(error).__name__}: {first_line(error)}") from None


def _options(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """The optional names of a space file, checked."""
    kinds: dict[str, tuple[type, str]] = {
        "trials": (int, ""),
        "sampler": (BaseSampler, "; optuna.samplers.TPESampler(), for one"),
        "pruner": (BasePruner, "; optuna.pruners.NopPruner() prunes nothing"),
    }
    options = {name: found[name] for name in kinds if name in found}
    for name, value in options.items():
        kind, remedy = kinds[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise SearchError(f"{saying(path, name, value)}; it must be of type {kind.__name__}{remedy}")
    if options.get("trials", 1) < 1:
        raise SearchError(f"{path}: trials = {options['trials']}; it must be 1 or more")
    (options["metric"], options["direction"]), *further = goals(path, found).items()
    options["further"], options["limits"] = dict(further), limits(path, found)
    if "resources" in found:
        options["resources"] = _resources(path, found["resources"])
    if "callbacks" in found:
        options["callbacks"] = found["callbacks"]
        if not isinstance(options["callbacks"], (list, tuple)) or not all(map(callable, options["callbacks"])):
            said = "it must be a list of functions of a study and a trial"
            raise SearchError(f"{saying(path, 'callbacks', found['callbacks'])}; {said}")
        for callback in options["callbacks"]:
            check_takes(path, "callback", callback, "study", "trial")
    if "baselines" in found:
        if not isinstance(found["baselines"], (str, Path)):
            raise SearchError(f"{path}: baselines = {found['baselines']!r}; it must be the path of a CSV file")
        options["baselines"] = read_baselines(path.parent / found["baselines"])
    return options


def _resources(path: Path, resources: Any) -> dict[str, Any]:
    ok = isinstance(resources, Mapping) and all(
        (key, value) == ("gpus", "auto")
        or (key in ("cpus", "gpus") and isinstance(value, (int, float)) and 0 <= value < math.inf)
        for key, value in resources.items()
    )
    if not ok:
        raise SearchError(f"{path}: resources = {resources!r}; it must be like dict(cpus=2, gpus=0.5), for one trial")
    return dict(resources)
