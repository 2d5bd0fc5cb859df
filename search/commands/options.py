"""How a verb declares its options: once, in a dataclass, with help, default, limits and what reads each.

The command line (search/cli/verbs.py), the functions of search/api.py and docs/reference/cli.md are made from it.
A field without `kw_only` is an argument of the command. Heavy types are named in quotes, and never imported.
"""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeVar, get_args, overload

from search.commands import units
from search.errors import SearchError, first_line, option

if TYPE_CHECKING:
    from optuna.study import Study

    from search.files.locations import Where
    from search.space.space import SearchSpace

STORAGE = "sqlite:///studies.db"
_VARIABLE = "SEARCH_STORAGE"
CACHE_SIZE = "20G"
"""As people write `search.config.CACHE_SIZE`."""

Word = TypeVar("Word")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Help:
    """What an option says of itself, beside its field's name, type and default."""

    text: str
    metavar: str | None = None
    envvar: str | None = None
    min: float | None = None
    max: float | None = None
    word: Any = None
    """The type that the command line reads, where it is not the field's."""
    short: str | None = None
    python: bool = False
    """Only the function has it: the command line cannot write such a value."""
    rest: bool = False
    """Takes the words of the command line that no other option takes."""


class Parsed(Generic[Word, Value]):
    """A field that is given what people write, and holds what `parse` makes of it and the field's name."""

    def __init__(self, parse: Callable[[Word, str], Value], default: Word) -> None:
        self._parse, self._default = parse, default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Word: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...
    def __get__(self, instance: object | None, owner: type) -> Word | Value:
        if instance is None:  # the dataclass asks for the default
            return self._default
        value: Value = instance.__dict__[self._name]
        return value

    def __set__(self, instance: object, word: Word) -> None:
        instance.__dict__[self._name] = self._parse(word, self._name)


@dataclass(kw_only=True)  # not frozen: mypy would take inherited `Parsed` fields for what they are given
class Options:
    """The options of a verb. Making it raises SearchError for a value that an option cannot have."""

    trains: ClassVar[bool] = False
    """Whether the verb trains, so that it goes on where nobody reads what it prints."""

    def __post_init__(self) -> None:
        for described in declared(type(self)):
            described.check(getattr(self, described.field.name))


@dataclass(frozen=True)
class Declared:
    """One option as its class declares it."""

    field: Field[Any]
    kind: Any
    help: Help

    @property
    def word(self) -> Any:
        """The type that the command line reads."""
        return self.help.word or self.kind

    def check(self, value: Any) -> None:
        """Raise SearchError if a number is beyond the option's limits, or not whole where it has to be."""
        low, high, kinds = self.help.min, self.help.max, get_args(self.kind) or (self.kind,)
        if value is None or (low is None and high is None):
            return
        whole = float not in kinds
        number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not number or not (low is None or value >= low) or not (high is None or value <= high):
            what = "a whole number" if whole else "a number"
            limit = f"{low or 0:g} or more" if high is None else f"{low or 0:g} to {high:g}"
            raise SearchError(f"{option(self.field.name, value)}: it must be {what}, {limit}")


def declared(options: type[Options]) -> Iterator[Declared]:
    """The options of a class: its arguments, then its own, then those of its bases."""
    of = {item.name: item for item in fields(options)}
    notes = {name: note for cls in options.__mro__ for name, note in inspect.get_annotations(cls).items() if name in of}
    for name in sorted(notes, key=lambda name: bool(of[name].kw_only)):
        kind = notes[name].__origin__
        if getattr(kind, "__origin__", None) is Parsed:
            kind = get_args(kind)[0]
        yield Declared(of[name], kind, next(item for item in notes[name].__metadata__ if isinstance(item, Help)))


SpaceOf = Annotated[
    "str | Path | SearchSpace",
    Help("The space file, such as spaces/digits.py.", metavar="SPACE", word=Path),
]
Reports = Annotated[Parsed[str | Path, Path], Help("The folder that reports are written to.", word=Path)]
DataRoot = Annotated[
    Parsed[str | Path, Path],
    Help("The folder that holds the data sets.", envvar="SEARCH_DATA_ROOT", word=Path),
]
CacheSize = Annotated[
    Parsed[str, int],
    Help(
        "Disk for what frozen layers make of the images, computed once for all trials: 500M, 20G; 0 keeps none.",
        envvar="SEARCH_CACHE_SIZE",
    ),
]
Code = Annotated[
    Parsed[Sequence[str | Path], list[Path]],
    Help(
        "The Python file that a model or data set of one's own is in, which runs as you; several: again. A file that a "
        "run in this folder has used need not be named.",
        metavar="FILE.py",
        word=list[str],
    ),
]
RunDir = Annotated[
    Parsed[str | Path, "Where"],
    Help(
        "The folder for weights and checkpoints, on a cluster one that all nodes share; or a URL such as "
        "s3://bucket/folder.",
        metavar="DIR|URL",
        word=str,
    ),
]
SkipBroken = Annotated[
    bool,
    Help("Leave out images that cannot be read, and count them; else they are refused.", envvar="SEARCH_SKIP_BROKEN"),
]
Verbose = Annotated[bool, Help("Let Ray talk.")]


@dataclass(kw_only=True)
class SpaceOptions(Options):
    """Of a verb that reads a space."""

    space: SpaceOf = field(kw_only=False)
    epochs: Annotated[int | None, Help("Short for --set epochs=N.")] = None
    subset: Annotated[int | None, Help("Short for --set subset=N: train on N images, to search broadly first.")] = None
    set: Annotated[
        Parsed[Mapping[str, Any] | Sequence[str], Sequence[str]],
        Help("Fix a setting; a Choice by its option's label.", metavar="NAME=VALUE", word=list[str]),
    ] = Parsed(units.settings, ())
    name: Annotated[str | None, Help("The study's name. [default: the space file's stem]")] = None

    @property
    def overrides(self) -> list[str]:
        """The settings to fix, each as NAME=VALUE."""
        short = {"epochs": self.epochs, "subset": self.subset}
        return [*self.set, *(f"{setting}={value}" for setting, value in short.items() if value is not None)]

    @property
    def where(self) -> "Path | SearchSpace":
        """The space file, or the space. Raises SearchError for what is neither, and for a space without a name."""
        from search.space.space import SearchSpace

        if isinstance(self.space, SearchSpace):
            if self.name is None:
                raise SearchError('a SearchSpace has no file to name its study after: give it a name="..."')
            return self.space
        if not isinstance(self.space, (str, Path)):
            raise SearchError(
                f"a space is a SearchSpace, or the path of a space file, not a {type(self.space).__name__}"
            )
        return Path(self.space)


def _url_in(file: Path) -> str:
    """The storage URL that the file holds. Raises SearchError."""
    try:
        lines = Path(file).read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise SearchError(f"{option('storage_file', file)}: cannot be read: {first_line(error)}") from None
    if len(lines) != 1:
        raise SearchError(f"{option('storage_file', file)}: it shall hold one storage URL and nothing else")
    return lines[0]


@dataclass(kw_only=True)
class StorageOptions(Options):
    """Of a verb that opens a storage."""

    storage: Annotated[str, Help("Where studies are kept: an Optuna storage URL.", envvar=_VARIABLE)] = STORAGE
    storage_file: Annotated[
        Path | None,
        Help("A file that holds the storage's URL, to keep its password out of history and process list."),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.storage_file is not None:
            if self.storage is not STORAGE and self.storage != os.environ.get(_VARIABLE):
                raise SearchError(f"{option('storage')} and {option('storage_file')}: say one of them")
            self.storage = _url_in(self.storage_file)


@dataclass(kw_only=True)
class StudyOptions(StorageOptions):
    """Of a verb that reads one study, which in Python may be the study itself."""

    study: Annotated[
        "str | Study", Help("The study's name; of `search run`, the space file's stem.", metavar="STUDY", word=str)
    ] = field(kw_only=False)

    @property
    def url(self) -> str:
        """The storage that the study is in. Raises SearchError if other processes cannot open it."""
        if isinstance(self.study, str) or self.storage != STORAGE:
            return self.storage
        from search.study.storage import internals

        url = getattr(internals.uncached(internals.storage_of(self.study)), "url", None)
        if not isinstance(url, str):
            raise SearchError(f"the study is in no storage that other processes can open: {option('storage')}")
        return url

    @property
    def name(self) -> str:
        return self.study if isinstance(self.study, str) else self.study.study_name

    def load(self) -> "Study":
        """The study. Raises SearchError."""
        from search.study.study import load_study

        return load_study(self.storage, self.study) if isinstance(self.study, str) else self.study
